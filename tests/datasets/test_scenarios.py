"""What the scenarios news, grocery and control plant can be found in what they draw, and nothing else can."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

from recsys.datasets import control, grocery, news, synthetic
from recsys.datasets.shop_world import grocery as groceries
from recsys.datasets.shop_world import news as articles

NEWS = synthetic.Config(scenario="news", events=40_000, users=3_000, items=1_500, days=7, new_item_share=0.9)
GROCERY = synthetic.Config(scenario="grocery", events=60_000, users=500, items=400, days=180, new_item_share=0.05)
CONTROL = synthetic.Config(scenario="control", events=40_000, users=1_500, items=600, days=60)
ALL = {"news": (news, NEWS), "grocery": (grocery, GROCERY), "control": (control, CONTROL)}


def drawn(config: synthetic.Config, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items, and interactions with int rows in place of ids."""
    synthetic.fetch(config, folder, seed=7)
    tables = synthetic.tables(config, folder)
    row = pl.col("user_id", "item_id").str.slice(1).cast(pl.Int64)
    return tables.items.collect(), tables.interactions.with_columns(row).collect()


@pytest.mark.parametrize("name", ALL)
def test_the_size_is_exact_and_a_seed_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    adapter, config = ALL[name]
    once, twice, other = tmp_path / "once", tmp_path / "twice", tmp_path / "other"
    for folder, seed in ((once, 7), (twice, 7), (other, 8)):
        folder.mkdir()
        adapter.fetch(config, folder, seed)
    events, items = pl.read_parquet(once / "interactions-000.parquet"), pl.read_parquet(once / "items.parquet")
    assert (events.height, items.height) == (config.events, config.items)
    assert events["timestamp"].is_sorted()
    assert events.join(items, on="item_id", how="anti").is_empty()
    for file in ("interactions-000.parquet", "items.parquet"):
        assert (once / file).read_bytes() == (twice / file).read_bytes()
    assert (once / "interactions-000.parquet").read_bytes() != (other / "interactions-000.parquet").read_bytes()


@pytest.mark.parametrize("name", ALL)
def test_the_smallest_data_can_be_drawn(name: str, tmp_path: Path) -> None:
    config = synthetic.Config(scenario=name, events=100, users=10, items=40, days=7)
    assert drawn(config, tmp_path)[1].height == 100


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"scenario": "news", "dirt_share": 0.1}, "dirt_share is 0.1, unused in the scenario 'news': set it to 0"),
        ({"scenario": "control", "new_item_share": 0.1}, "new_item_share is 0.1, unused in"),
        ({"scenario": "control", "events": 5_000}, "10 users x 40 items, expected from 10,000 to 100,000,000 pairs"),
        ({"scenario": "grocery", "items": 30}, "30 of 30 items are there on the first day, expected at least 40"),
        ({"scenario": "films"}, "scenario"),
    ],
)
def test_what_a_scenario_cannot_draw_is_refused(change: dict[str, object], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        synthetic.Config.model_validate({"events": 100, "users": 10, "items": 40, "days": 7, **change})


def test_news_ages_in_hours_and_is_born_all_the_time(tmp_path: Path) -> None:
    items, events = drawn(NEWS, tmp_path)
    assert items.columns == ["item_id", "first_seen"]
    born = items.with_columns(pl.col("item_id").str.slice(1).cast(pl.Int64))
    starts = pl.col("timestamp").diff().over("user_id").fill_null(timedelta(days=1)) > timedelta(minutes=30)
    age = events.sort("user_id", "timestamp").filter(starts).join(born, on="item_id", maintain_order="left")
    hours = ((age["timestamp"] - age["first_seen"]).dt.total_seconds() / 3600).to_numpy()
    assert hours.min() > 0
    half_life = articles.HALF_LIFE_HOURS
    young, older = ((hours >= 0) & (hours < half_life)).sum(), ((hours >= half_life) & (hours < 2 * half_life)).sum()
    assert 0.4 < older / young < 0.8
    last_day = age["timestamp"] > age["timestamp"].max() - timedelta(days=1)  # type: ignore[operator]
    assert (hours[last_day.to_numpy()] < 24).mean() > 0.8


def test_news_sessions_are_short_and_follow_the_planted_links(tmp_path: Path) -> None:
    _, events = drawn(NEWS, tmp_path)
    links = articles.articles(NEWS, 7).links
    ordered = events.sort("user_id", "timestamp")
    user, item, time = (ordered[name].to_numpy() for name in ("user_id", "item_id", "timestamp"))
    same = (user[1:] == user[:-1]) & (np.diff(time) < np.timedelta64(30, "m"))
    assert 0.8 * articles.CLICKS < len(user) / (~same).sum() < 1.2 * articles.CLICKS
    there = (links[item[:-1]] == item[1:, None]).any(axis=1)[same].mean()
    back = (links[item[1:]] == item[:-1, None]).any(axis=1)[same].mean()
    assert there > articles.FOLLOW_SHARE - 0.05
    assert back < 0.5 * there


def test_groceries_are_bought_again_after_their_usual_time(tmp_path: Path) -> None:
    _, events = drawn(GROCERY, tmp_path)
    of = groceries.households(GROCERY, 7)
    planted = {
        (user, item): gap
        for user, (items, gaps) in enumerate(zip(of.staples.tolist(), of.gap.tolist(), strict=True))
        for item, gap in zip(items, gaps, strict=True)
    }
    days = pl.col("timestamp").diff().dt.total_seconds() / 86_400
    found = (
        events.sort("timestamp")
        .group_by("user_id", "item_id", maintain_order=True)
        .agg(gap=days.median(), spread=days.std() / days.mean(), n=pl.len())
        .filter(pl.col("n") >= 5)
    )
    pairs = list(zip(found["user_id"], found["item_id"], strict=True))
    staple = np.array([pair in planted for pair in pairs])
    expected = np.array([planted[pair] for pair in pairs if pair in planted])
    assert staple.mean() > 0.7
    observed = found["gap"].to_numpy()[staple]
    assert spearmanr(observed, expected).statistic > 0.8
    assert 0.6 < np.median(observed / expected) < 1.4
    spread = found["spread"].to_numpy()
    assert np.median(spread[staple]) < 0.6 < np.median(spread[~staple])  # what is tried out comes at random, near 1
    repeats = 1 - events.select("user_id", "item_id").n_unique() / events.height
    assert repeats > 0.5


def test_control_has_no_repeats_no_ageing_and_no_order(tmp_path: Path) -> None:
    items, events = drawn(CONTROL, tmp_path)
    assert items.columns == ["item_id"]
    assert events.select("user_id", "item_id").n_unique() == events.height
    late = events["timestamp"].to_numpy() > events["timestamp"].to_numpy()[events.height // 2]
    counts = np.stack([np.bincount(events["item_id"].to_numpy()[part], minlength=600) for part in (late, ~late)])
    much = counts.sum(axis=0) >= 20
    chi2 = ((counts[0] - counts[1]) ** 2 / counts.sum(axis=0).clip(1))[much]
    assert chi2.mean() == pytest.approx(1, abs=0.25)  # of an item that sells alike in both halves, 1
    shuffled = events.with_columns(timestamp=pl.col("timestamp").shuffle(seed=1))
    assert _pairs_seen_again(events) == pytest.approx(_pairs_seen_again(shuffled), rel=0.1)


def _pairs_seen_again(events: pl.DataFrame) -> int:
    """How many times one item follows another that it followed before."""
    following = events.sort("user_id", "timestamp").with_columns(then=pl.col("item_id").shift(-1).over("user_id"))
    return events.height - following.select("item_id", "then").n_unique()
