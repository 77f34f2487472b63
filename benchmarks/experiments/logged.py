"""One large log through the real API, and its units."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.simulator.shoppers import Shoppers
from benchmarks.story import in_process, phases, shop
from benchmarks.story.in_process import Clock
from benchmarks.story.simulate import Days, Simulation
from recsys.datasets.shop_world import log as shop_log
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.world import world as make_world
from recsys.experiments.analysis import join, log
from recsys.experiments.online.config import Experiment
from serving.settings import Settings

TOP = Path(__file__).parents[2]
FOLDER = TOP / "build/experiments"
ARMS = {"a": {"variant": "als", "weight": 0.5}, "b": {"variant": "als", "weight": 0.5}}
EXPERIMENT = Experiment.model_validate({"arms": ARMS})


def make_log(days: int = 14, visits: int = 2500) -> dict[str, Any]:
    """A log of exposures and events, written by the API; kept for the other parts."""
    _, releases = shop.build(shop.FULL, FOLDER / "shop", {})
    return asyncio.run(fill(releases, shop.FULL, days, visits))


async def fill(releases: Path, config: Config, days: int, visits: int) -> dict[str, Any]:
    """The log of so many days, with so many visits each, in a shop whose bundle is released."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    database = FOLDER / "store.sqlite"
    for old in FOLDER.glob("store.sqlite*"):
        old.unlink()
    store, file = f"sqlite:///{database}", FOLDER / "experiments.yaml"
    file.write_text(json.dumps({"experiments": {"all": {"arms": ARMS}}}))
    subprocess.run([sys.executable, "-m", "serving.stores", "migrate", "--url", store], check=True, cwd=TOP)
    world = make_world(config, shop.SEED)
    clock = Clock(shop.opening(config))
    settings = Settings(releases=releases, store_url=store, experiments=file, deadline_ms=10_000, store_ms=10_000)
    async with in_process.running(settings, clock) as api:
        simulation = Simulation(api, clock, Shoppers(world, shop.SEED), shop_log.items(world, shop.SEED))
        for day in range(shop.OPENING_DAY, shop.OPENING_DAY + days):
            await simulation.day(day, Days(visits))
        text = (await api.text("/metrics")).splitlines()
        until = phases.later(clock)
    dropped = sum(float(line.split()[-1]) for line in text if line.startswith("recsys_exposures_dropped"))
    read = log.read(store, "all", EXPERIMENT, until=until)
    read.exposures.write_parquet(FOLDER / "exposures.parquet")
    read.events.write_parquet(FOLDER / "events.parquet")
    asked = sum(simulation.counts.requests.values())
    return {
        "requests": asked,
        "exposures_logged": read.exposures.height,
        "exposures_dropped": dropped,
        "events": read.events.height,
        "units": read.exposures["unit"].n_unique(),
        "requests_a_unit": round(asked / read.exposures["unit"].n_unique(), 2),
    }


def logged() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Exposures, and per request the clicks."""
    exposures, events = (pl.read_parquet(FOLDER / f"{name}.parquet") for name in ("exposures", "events"))
    return exposures, join.attribute(exposures, events, join.Rule(24))


def units_of(exposures: pl.DataFrame, attributed: pl.DataFrame) -> pl.DataFrame:
    """One row a unit, all in one arm."""
    return join.by_unit(exposures.with_columns(arm=pl.lit("a")), attributed, attributed.clear())


def with_arms(units: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
    """The units drawn into two arms anew."""
    return units.with_columns(arm=pl.Series(np.array(["a", "b"])[chance.integers(0, 2, units.height)]))
