"""Every block of Python in docs/extending.md works: it keeps the contract of its kind."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.data.prepare import prepare
from tests.extensions.contracts import check_encoder, check_model, check_ranker, check_rule, check_source
from tests.extensions.test_models import training
from tests.support import bundles
from tests.support.own_files import settings

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("documented") / "bundle"
    return bundle.load(bundles.write(folder))


def module_of(block: str) -> Any:
    module = ModuleType("documented")
    exec(compile(block, str(PAGE), "exec"), module.__dict__)
    return module


def a_data_set(module: Any, shop: Bundle, folder: Path) -> None:
    """Three orders, one of them cancelled."""
    for name in ("dump", "raw", "out"):
        (folder / name).mkdir()
    orders = pl.DataFrame(
        {
            "customer": ["c1", "c2", "c2"],
            "sku": ["s1", "s1", "s2"],
            "name": ["One", "One", "Two"],
            "ordered_at": [datetime(2024, 5, day, tzinfo=UTC) for day in (1, 2, 3)],
            "cancelled": [False, True, False],
        }
    )
    orders.write_parquet(folder / "dump" / "orders.parquet")
    config = module.Config(dump=folder / "dump")
    module.fetch(config, folder / "raw", seed=0)
    report = prepare(module.tables(config, folder / "raw"), "shop", settings(), folder / "out")
    assert (report.interactions.read, report.interactions.kept) == (3, 2)
    assert report.interactions.reasons == {"cancelled": 1}
    assert report.items.kept == 2


def a_model(module: Any, shop: Bundle, folder: Path) -> None:
    check_model("documented", lambda data: module.fit(data, module.Config()), training())
    model = module.fit(training(), module.Config())
    owners = np.repeat(np.arange(len(model.indptr) - 1), np.diff(model.indptr))
    assert len(owners) > 0
    assert (owners % 2 == model.rows % 2).all(), "even items are of one category, odd ones of another"


def an_encoder(module: Any, shop: Bundle, folder: Path) -> None:
    vectors = shop.models["als"].embeddings.vectors
    check_encoder("documented", module.build(vectors, {}, {}), vectors.shape[1], len(vectors))


def a_source(module: Any, shop: Bundle, folder: Path) -> None:
    check_source("documented", module.build(shop, module.Config(days=60)), shop)


def a_ranker(module: Any, shop: Bundle, folder: Path) -> None:
    check_ranker("documented", module.build(shop, module.Config()), shop)


def a_rule(module: Any, shop: Bundle, folder: Path) -> None:
    check_rule("documented", module.build(shop, module.Config(at_most=1.5)), shop)


KINDS: tuple[Callable[[Any, Bundle, Path], None], ...] = (a_data_set, a_model, an_encoder, a_source, a_ranker, a_rule)


def test_every_block_is_tried() -> None:
    assert len(BLOCKS) == len(KINDS)


@pytest.mark.parametrize(
    ("block", "check"), list(zip(BLOCKS, KINDS, strict=True)), ids=[kind.__name__ for kind in KINDS]
)
def test_a_documented_extension_keeps_its_contract(
    shop: Bundle, tmp_path: Path, block: str, check: Callable[[Any, Bundle, Path], None]
) -> None:
    check(module_of(block), shop, tmp_path)
