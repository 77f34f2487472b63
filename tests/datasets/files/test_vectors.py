"""Vectors that the data supply for items: a column of the items or a file of their own, validated row by row."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.bundle.items.item_features import supplied_mean, supplied_vectors
from recsys.data.report import check
from recsys.errors import DataError, ParamsError
from tests.data.made_split import make
from tests.support import own_files

EVENTS = own_files.EVENTS + "".join(
    f"u{user},{item},2024-05-{day + 1:02}\n" for day in range(20) for user, item in enumerate("abcd")
)
ITEMS = "item_id\n" + "\n".join("abcdef") + "\n"
FILE: dict[str, Any] = {"path": "vectors.jsonl", "columns": {"item_id": "id", "vector": "emb"}}
LINES = [
    '{"id": "a", "emb": [1, 0.5, -2e-1]}',
    '{"id": "b", "emb": [0, 0, 1]}',
    '{"id": "c", "emb": [1, 2]}',
    '{"id": "d", "emb": [1, NaN, 2]}',
    '{"id": "e", "emb": [1e39, 0, 1]}',
    '{"id": "f", "emb": [1, "two", 3]}',
    '{"id": "a", "emb": [9, 9, 9]}',
    '{"id": "zzz", "emb": [1, 1, 1]}',
    '{"id": "f", "emb": [0, 0, 0]}',
    '{"id": "f", "emb": null}',
    '{"id": " f", "emb": [1, 1, 1]}',
    '{"id": "f", "emb": [1, 2e12, 3]}',
]
REASONS = [
    (2, "vector_of_another_length"),
    (3, "vector_not_finite"),
    (4, "vector_not_finite"),
    (5, "vector_unreadable"),
    (6, "repeated_item_id"),
    (7, "orphan_item"),
    (8, "vector_all_zero"),
    (9, "vector_missing"),
    (10, "item_id_padded"),
    (11, "vector_too_large"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vectors.jsonl").write_text("\n".join(LINES) + "\n")


def kept() -> dict[str, list[float]]:
    table = pl.read_parquet("out/vectors.parquet")
    return {item: list(vector) for item, vector in table.iter_rows()}


def test_each_row_is_a_vector_or_is_refused_with_its_reason() -> None:
    outcome = own_files.run(EVENTS, ITEMS, vectors=FILE)
    assert kept() == {"a": pytest.approx([1, 0.5, -0.2]), "b": [0, 0, 1]}
    assert pl.read_parquet_schema("out/vectors.parquet")["vector"] == pl.Array(pl.Float32, 3)
    bad = outcome.quarantine.filter(pl.col("table") == "vectors")
    assert bad.select("row", "reason").rows() == REASONS
    outcome.assert_every_line_counts(vectors=len(LINES))
    assert outcome.report.item_gaps["vector"] == pytest.approx(4 / 6)
    text = outcome.report.to_text()
    assert "vectors.jsonl" in text
    assert "vector_of_another_length" in text
    with pytest.raises(
        DataError, match=r"^vectors.jsonl: 10 of 12 vectors rejected .*most often vector_not_finite \(2\)"
    ):
        check(outcome.report, own_files.settings(max_rejected_share=0.8).thresholds, Path("out"))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.List(pl.Float64), [[1, 0.5, -0.2], [0, 0, 1], [1, float("nan"), 1]]),
        (pl.Array(pl.Float32, 3), [[1, 0.5, -0.2], [0, 0, 1], [1, float("inf"), 1]]),
        (pl.List(pl.Int64), [[1, 2, 3], [4, 5, 6], [0, 0, 0]]),
        (pl.List(pl.String), [["1", "2", "3"], ["4", "5", "6"], ["0", "0", "0"]]),
    ],
)
def test_a_parquet_file_keeps_lists_and_arrays(dtype: Any, values: list[Any]) -> None:
    pl.DataFrame({"item_id": list("abc"), "vector": values}, schema_overrides={"vector": dtype}).write_parquet(
        "v.parquet"
    )
    outcome = own_files.run(EVENTS, ITEMS, vectors={"path": "v.parquet"})
    assert list(kept()) == ["a", "b"]
    assert sum(outcome.reasons("vectors").values()) == 1


@pytest.mark.parametrize("text", ["[1, 0.5, -0.2]", "1 0.5 -0.2", "(1;0.5;-0.2)", "{1,0.5,-0.2}", "[1.  0.5 -0.2]"])
def test_texts_are_read_as_vectors(text: str) -> None:
    Path("v.tsv").write_text(f"item_id\tvector\na\t{text}\nb\tnone of it\n")
    outcome = own_files.run(EVENTS, ITEMS, vectors={"path": "v.tsv", "separator": "\t"})
    assert kept() == {"a": pytest.approx([1, 0.5, -0.2])}
    assert outcome.reasons("vectors") == {"vector_unreadable": 1}


def test_a_column_of_the_items_is_the_same_and_an_item_may_have_none() -> None:
    vectors = [[1.0, 2.0], [3.0, 4.0], None, [float("nan"), 1.0], [1.0], [5.0, 6.0]]
    pl.DataFrame({"item_id": list("abcdef"), "emb": vectors}).write_parquet("items.parquet")
    outcome = own_files.run(EVENTS, item_settings={"path": "items.parquet", "columns": {"vector": "emb"}})
    assert kept() == {"a": [1, 2], "b": [3, 4], "f": [5, 6]}
    assert outcome.notes("items") == {"vector emptied: not_finite": 1}
    assert outcome.reasons("vectors") == {"vector_of_another_length": 1}
    assert "vector" not in outcome.items.columns
    assert outcome.items["item_id"].to_list() == list("abcdef")


def test_the_split_carries_them_in_row_order() -> None:
    outcome = own_files.run(EVENTS, ITEMS, vectors=FILE)
    items = outcome.items.join(pl.read_parquet("out/vectors.parquet"), on="item_id", how="left", maintain_order="left")
    params = own_files.settings().split.model_copy(update={"allow_repeat": True})
    catalogue = make(outcome.interactions.lazy(), items, params, 1).catalogue
    mean = supplied_mean(catalogue.filter(pl.col("item_id").is_in(["a", "b", "c", "d"])))
    assert mean is not None
    found = supplied_vectors(catalogue, mean)
    lengths = dict(zip(catalogue["item_id"], (found**2).sum(axis=1).round(5).tolist(), strict=True))
    assert lengths == {"a": 1, "b": 1, "c": 0, "d": 0, "e": 0, "f": 0}


def test_without_vectors_nothing_speaks_of_them() -> None:
    outcome = own_files.run(EVENTS, ITEMS)
    assert not Path("out/vectors.parquet").exists()
    assert "vector" not in outcome.report.to_json()


def test_a_column_that_is_not_there_is_one_line() -> None:
    with pytest.raises(DataError, match=r"^vectors.jsonl: no column 'e' \(for vector\), the columns are 'id', 'emb'"):
        own_files.run(EVENTS, ITEMS, vectors={**FILE, "columns": {"item_id": "id", "vector": "e"}})
    with pytest.raises(
        ParamsError, match=r"vectors.columns: .*'title' is not a canonical column, expected some of item"
    ):
        own_files.run(EVENTS, ITEMS, vectors={**FILE, "columns": {"title": "x"}})
