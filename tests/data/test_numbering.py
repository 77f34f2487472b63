from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from recsys.data.numbering import numbered


def test_positions_follow_the_sorted_values_whatever_the_order_of_the_rows() -> None:
    values = ["b", "a", "é", "c", "a", "日本", "b"]
    for order in (values, values[::-1]):
        frame, (ids,) = numbered(pl.LazyFrame({"id": order, "other": range(7)}), "id")
        assert ids.to_list() == sorted(set(values))
        assert ids.gather(frame["id"]).to_list() == order
        assert frame["id"].dtype == pl.Int32
        assert frame["other"].to_list() == list(range(7))


def test_many_values_in_many_chunks_are_numbered_like_few(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    ids = [f"id{number}" for number in draw.integers(0, 20_000, 100_000)]
    pl.DataFrame({"id": ids}).write_parquet(tmp_path / "ids.parquet", row_group_size=5_000)
    frame, (found,) = numbered(pl.scan_parquet(tmp_path / "ids.parquet"), "id")
    wanted, positions = np.unique(ids, return_inverse=True)
    assert found.to_list() == wanted.tolist()
    assert frame["id"].to_list() == positions.tolist()


def test_nothing_at_all_is_an_empty_vocabulary() -> None:
    frame, (ids,) = numbered(pl.LazyFrame({"id": []}, schema={"id": pl.String}), "id")
    assert frame.is_empty()
    assert ids.is_empty()


def test_a_parquet_file_becomes_the_matrix_of_its_ids(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "user_id": [f"u{number}" for number in draw.integers(0, 30, 500)],
            "item_id": [f"i{number}" for number in draw.integers(0, 20, 500)],
            "weight": draw.random(500).astype(np.float32),
        }
    )
    frame.write_parquet(tmp_path / "events.parquet")
    events = pl.scan_parquet(tmp_path / "events.parquet")
    numbers, (users, items) = numbered(events, "user_id", "item_id")
    rows, columns, weights = (numbers[name].to_numpy() for name in ("user_id", "item_id", "weight"))
    matrix = csr_matrix((weights, (rows, columns)), shape=(len(users), len(items)))
    wanted = frame.group_by("user_id", "item_id").agg(pl.col("weight").sum())
    assert matrix.nnz == wanted.height
    for user, item, weight in wanted.iter_rows():
        found = matrix[users.to_list().index(user), items.to_list().index(item)]
        np.testing.assert_allclose(found, weight, rtol=1e-5)
