"""Story and experiments on the small shop, whose world is drawn again from its settings and seed."""

import asyncio
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from benchmarks.experiments import __main__ as experiments
from benchmarks.experiments import checked, logged, open_bandit, trials
from benchmarks.story import __main__ as story
from benchmarks.story import replay, shop
from recsys.bundle import bundle
from recsys.bundle.releases import current
from recsys.datasets.shop_world.config import Config
from recsys.params import load
from tests.benchmarks.conftest import Results

Small = tuple[Path, Config]


@pytest.fixture
def small(released: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """Releases of the small shop, and its settings; it opens on the last day of its log."""
    params = yaml.safe_load((pipeline / "params.yaml").read_text())
    config = Config.model_validate(params["datasets"]["synthetic"]["adapter"])
    monkeypatch.setattr(shop, "SEED", params["seed"])
    monkeypatch.setattr(shop, "OPENING_DAY", config.days - 1)
    return released, config


@pytest.mark.parametrize("changes", [{}, {"split": {"allow_repeat": True}}])
def test_the_settings_of_the_shop_are_read_by_the_pipeline(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((shop.TOP / "params.yaml").read_text())
    shop.settings(path, {f"datasets.files.{key}": value for key, value in changes.items()})
    read = load(path, tuned=False).data
    assert read.split.allow_repeat == bool(changes)
    assert read.adapter["interactions"]["path"] == "shop/interactions.parquet"


# in so small a shop nothing falls back: the rate has no variance
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_three_phases_and_a_comparison(small: Small, tmp_path: Path) -> None:
    releases, config = small
    found = story.played(tmp_path, releases, story.Size(config, days=1, visits=300, more=1, compared=10))
    assert [row["errors"] for row in found["phases"]] == [0, 0, 0]
    assert found["variants"]["learned"]["uplift"] > found["variants"]["random"]["uplift"]


def test_the_replay_of_logged_ratings(small: Small, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MIN_RATINGS", 22)
    log = pl.read_parquet(pipeline / "data/tables/interactions.parquet")
    ratings = log.with_columns(value=pl.col("item_id").hash(seed=1) % 5 + 1).with_columns(
        pl.col("value").cast(pl.Float64)
    )
    learned, held = replay.prepare(ratings)
    found = replay.judged(bundle.load(current(small[0])), learned, held, story.STEPS)
    assert found["users"] == len(held) > 0
    assert set(story.STEPS) < set(found["steps"])


def test_experiments_on_one_log(
    small: Small, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (logged, checked):
        monkeypatch.setattr(module, "FOLDER", tmp_path / "experiments")
    monkeypatch.setattr(trials, "LOOKS", 2)
    parts = {
        "log": lambda: asyncio.run(logged.fill(*small, days=2, visits=400)),
        "a_a": lambda: trials.a_a(3),
        "a_b": lambda: trials.a_b(3),
        "sample_ratio": lambda: checked.sample_ratio(n_units=2_000, clean=20, defects=1),
        "off_policy": lambda: checked.off_policy_(seeds=1, visits=800),
        "speed": lambda: checked.speed(50),
    }
    # the other two have tests of their own
    assert {*parts, "open_bandit", "dirty"} == experiments.PARTS.keys()
    monkeypatch.setattr(experiments, "PARTS", parts)
    experiments.main(list(parts))
    assert results("experiments_log")["exposures_dropped"] == 0
    assert results("experiments_a_a")["experiments"] == 3
    assert 0 <= results("experiments_a_b")["uplifts"]["0"]["covered"] <= 1
    assert results("experiments_speed")["assignment_us"] > 0


def test_open_bandit() -> None:
    if not (logged.FOLDER / "obp/bin/python").is_file():
        pytest.skip(
            "obp is not here; `python -m benchmarks.experiments open_bandit` installs it into an environment of its own"
        )
    assert open_bandit.open_bandit()["largest_difference"] < 1e-9
