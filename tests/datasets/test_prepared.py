"""Whole data sets through `prepare`, with the dirt they have: planted in the made-up shop, published in the others."""

from pathlib import Path

import polars as pl
import pytest

from recsys.data.prepare import prepare
from recsys.data.raw_tables import RawTables
from recsys.data.report import DataReport
from recsys.datasets import movielens, online_retail, synthetic
from recsys.datasets.shop_world.log import KINDS
from tests.data.test_prepare import outcome, settings


def assert_conserved(report: DataReport, raw: RawTables, out: Path) -> None:
    for name, table in (("interactions", raw.interactions), ("items", raw.items)):
        kept, bad = outcome(out, name)
        counts = getattr(report, name)
        assert table.select(pl.len()).collect().item() == counts.read == kept.height + len(bad)
        assert (counts.kept, counts.rejected) == (kept.height, len(bad))


def test_the_dirt_that_was_planted_is_found(tmp_path: Path) -> None:
    config = synthetic.Config(
        events=40_000, users=1_000, items=500, days=60, new_item_share=0.2, new_user_share=0.3, dirt_share=0.05
    )
    (tmp_path / "raw").mkdir()
    synthetic.fetch(config, tmp_path / "raw", seed=3)
    raw = synthetic.tables(config, tmp_path / "raw")
    weights = {"view": 1.0, "cart": 3.0, "purchase": 5.0}
    report = prepare(raw, "synthetic", settings(weights, max_events_per_user_day=200), tmp_path)
    assert_conserved(report, raw, tmp_path)
    found, planted = report.interactions.reasons, {kind: 2_000 * share for kind, share in KINDS.items()}
    # some of it is on items that are rejected for their price, which comes first
    assert found["future_timestamp"] == pytest.approx(planted["future"], rel=0.05)
    assert found["duplicate"] == pytest.approx(planted["duplicate"], rel=0.05)
    assert found["bot_like_user"] == pytest.approx(planted["bot"], rel=0.1)
    assert found["orphan_item"] >= planted["orphan"]
    assert report.items.reasons == {"price_negative": 25}


def test_movielens_as_published_goes_through(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_DATA_DIR", str(data_dir))
    config = movielens.Config(variant="latest-small", like_from=4.0)
    (tmp_path / "raw").mkdir()
    movielens.fetch(config, tmp_path / "raw", seed=0)
    raw = movielens.tables(config, tmp_path / "raw")
    report = prepare(raw, "movielens", settings({"like": 1.0, "rating": 0.0}), tmp_path)
    assert_conserved(report, raw, tmp_path)
    assert (report.interactions.kept, report.users, report.items.kept) == (100_836, 610, 9_742)


def test_online_retail_as_published_goes_through(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_DATA_DIR", str(data_dir))
    config = online_retail.Config()
    (tmp_path / "raw").mkdir()
    online_retail.fetch(config, tmp_path / "raw", seed=0)
    raw = online_retail.tables(config, tmp_path / "raw")
    report = prepare(raw, "online_retail", settings({"purchase": 1.0}), tmp_path)
    assert_conserved(report, raw, tmp_path)
    assert report.interactions.read == 541_909
    assert report.interactions.reasons["cancelled"] == 9_288
