"""What every file of `recsys/sources` must keep, whatever is known of the user."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import extensions
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import Source
from tests.support import bundles
from tests.support.queries import query

SETTINGS: dict[str, dict[str, Any]] = {"nearest": {"model": "als"}, "item_item": {"model": "covisit"}}


@pytest.fixture(scope="module", params=[False, True], ids=["first times", "repeats"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("contract") / "bundle"
    return bundle.load(bundles.write(folder, allow_repeat=request.param))


@pytest.mark.parametrize("name", extensions.names("sources"))
@pytest.mark.parametrize("user_id", [*bundles.HISTORIES, "a stranger"])
def test_a_source_proposes_rows_best_first_without_duplicates(shop: Bundle, name: str, user_id: str) -> None:
    source: Source = extensions.build("sources", name, shop, SETTINGS.get(name, {}))
    asked = query(shop, user_id)
    if "als" in shop.models and len(asked.history):
        asked = type(asked)(
            **{**asked.__dict__, "vectors": {"als": shop.models["als"].encoder.encode(asked.history, asked.now)}}
        )
    for n in (1, 5, 100):
        found = source.propose(asked, n)
        again = source.propose(asked, n)
        assert found.rows.dtype == np.int32
        assert found.scores.dtype == np.float32
        assert len(found.rows) == len(found.scores) <= n
        assert len(np.unique(found.rows)) == len(found.rows)
        assert ((found.rows >= 0) & (found.rows < len(shop.catalogue))).all()
        assert np.isfinite(found.scores).all()
        assert (np.diff(found.scores) <= 0).all()
        assert found.personal is None or len(found.personal) == len(found.rows)
        assert found.rows.tolist() == again.rows.tolist()
        if found.personal is not None and found.personal.any():
            assert len(asked.history), "nothing is personal to somebody of whom nothing is known"
