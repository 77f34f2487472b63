"""`recsys inspect` finds vectors of items, in a column of the items or in a file beside them, in any order of files."""

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from recsys.datasets import files
from recsys.datasets._inspect.inspect import inspect
from recsys.params import parse

DRAW = random.Random(3)
LENGTH, N_ITEMS = 12, 40
VECTORS = [[round(DRAW.gauss(0, 1), 4) for _ in range(LENGTH)] for _ in range(N_ITEMS)]
ITEMS = [f"A{at:02}" for at in range(N_ITEMS)]


@pytest.fixture(autouse=True)
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    rows = [f"K{at % 17:02},{ITEMS[at * 7 % N_ITEMS]},2024-03-{1 + at % 28:02}T10:00:00Z" for at in range(400)]
    Path("sales.csv").write_text("\n".join(["customer,sku,sold_at", *rows]))


def read(*paths: str) -> tuple[dict[str, Any], dict[str, list[float]]]:
    adapter = yaml.safe_load(inspect([Path(path) for path in paths])[1])["files"]["adapter"]
    config = parse(files.Config, adapter, "adapter")
    files.fetch(config, Path("raw"), seed=0)
    tables = files.tables(config, Path("raw"))
    assert tables.vectors is not None
    return adapter, dict(tables.vectors.select("item_id", "vector").collect().iter_rows())


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.Array(pl.Float32, LENGTH), pl.String])
def test_a_column_of_the_items(dtype: Any) -> None:
    values = [str(vector) for vector in VECTORS] if dtype == pl.String else VECTORS
    table = {"sku": ITEMS, "name": [f"Tea {at}" for at in range(N_ITEMS)], "emb": pl.Series(values, dtype=dtype)}
    pl.DataFrame(table).write_parquet("goods.parquet")
    adapter, vectors = read("sales.csv", "goods.parquet")
    assert adapter["items"]["columns"] == {"item_id": "sku", "title": "name", "vector": "emb"}
    assert "attributes" not in adapter["items"]
    assert vectors == {item: pytest.approx(vector) for item, vector in zip(ITEMS, VECTORS, strict=True)}


def test_a_file_beside_the_items_in_any_order() -> None:
    pl.DataFrame({"sku": ITEMS, "name": [f"Tea {at}" for at in range(N_ITEMS)]}).write_csv("goods.csv")
    pl.DataFrame({"key": ITEMS, "emb": VECTORS}).write_parquet("emb.parquet")
    for paths in (("sales.csv", "goods.csv", "emb.parquet"), ("emb.parquet", "goods.csv", "sales.csv")):
        adapter, vectors = read(*paths)
        assert adapter["items"]["path"] == "goods.csv"
        assert adapter["vectors"]["columns"] == {"item_id": "key", "vector": "emb"}
        assert len(vectors) == N_ITEMS


def test_lists_of_whole_numbers_are_no_vectors() -> None:
    tags = ["|".join(str(10 + (at * n) % 30) for n in range(9)) for at in range(N_ITEMS)]
    pl.DataFrame({"sku": ITEMS, "tags": tags}).write_csv("goods.csv")
    adapter = yaml.safe_load(inspect([Path("sales.csv"), Path("goods.csv")])[1])["files"]["adapter"]
    assert adapter["items"]["columns"] == {"item_id": "sku", "categories": "tags"}
