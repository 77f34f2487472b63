"""Three A/B tests, one after the other, on the same simulated shop, through the real API and the real readout.

1. random against collaborative filtering; a position that it cannot fill stays empty
2. + content, recency and popularity, ordered by trees for users with few likes; unfilled positions stay empty
3. + fallback and a share for new items, while a part fails now and then
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import yaml

from benchmarks.simulator.clicks import ClickModel
from benchmarks.simulator.shoppers import Shoppers, Visit
from benchmarks.story import in_process, shop
from benchmarks.story.in_process import Clock
from benchmarks.story.simulate import Counts, Days, Simulation
from recsys.contracts import Candidates, Query
from recsys.datasets.shop_world import log as shop_log
from recsys.datasets.shop_world.world import World
from recsys.datasets.shop_world.world import world as make_world
from recsys.experiments.analysis import log, run
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.online import config
from recsys.recommend.circuit_breaker import Limits
from recsys.sources import nearest
from serving.settings import Settings

RULES = [{"name": "seen"}, {"name": "available"}]
ALS, CONTENT = ({"source": "nearest", "config": {"model": model}} for model in ("als", "content"))
FAULT_SHARE = 0.1


def variants(learned: dict[str, Any]) -> dict[str, Any]:
    """What the phases need besides the variants of params.yaml; learned: the one of that name."""
    return {
        "collaborative": {"sources": [ALS], "rules": RULES},
        "content": {"sources": [CONTENT], "rules": RULES},
        "complete": {**learned, "new_item_share": 0.02},
    }


@dataclass(frozen=True)
class Phase:
    """control and treatment are variants; bare arms show no fallback."""

    name: str
    control: str
    treatment: str
    bare: tuple[str, ...]
    faults: bool = False


PHASES = (
    Phase("collaborative filtering", "random", "collaborative", ("treatment",)),
    Phase("content for the cold", "collaborative", "learned", ("control", "treatment")),
    Phase("fallback, new items", "learned", "complete", ("control",), faults=True),
)


@dataclass(frozen=True)
class Told:
    """The result of one phase."""

    phase: str
    readout: Readout
    availability: dict[str, float]
    errors: int

    def row(self) -> dict[str, Any]:
        """For the results file."""
        effects = {effect.metric: asdict(effect) for effect in self.readout.effects}
        return {
            "phase": self.phase,
            "units": self.readout.units,
            "effects": effects,
            "decision": self.readout.decisions.get("treatment"),
            "checks_passed": all(check.passed for check in self.readout.checks),
            "availability": self.availability,
            "errors": self.errors,
        }


async def play(
    phase: Phase, world_config: Any, releases: Path, folder: Path, days: int, visits: int, clicks: ClickModel
) -> Told:
    """Run one phase from the opening of the shop on, in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    name = phase.name.split(",")[0].replace(" ", "-")
    arms = {
        arm: {"variant": variant, "weight": 0.5}
        for arm, variant in (("control", phase.control), ("treatment", phase.treatment))
    }
    file = folder / "experiments.yaml"
    file.write_text(yaml.safe_dump({"experiments": {name: {"arms": arms}}}, sort_keys=False))
    store = f"sqlite:///{folder}/store.sqlite"
    subprocess.run([sys.executable, "-m", "serving.stores", "migrate", "--url", store], check=True, cwd=shop.TOP)
    world = make_world(world_config, shop.SEED)
    shoppers, clock = Shoppers(world, shop.SEED, clicks), Clock(shop.opening(world_config))
    settings = Settings(releases=releases, store_url=store, experiments=file, deadline_ms=10_000, store_ms=10_000)
    # breakers count real seconds, in which a simulation sees hundreds of visits: they stay closed here
    patient = patch("serving.live.background.Limits", partial(Limits, failures=Limits.window + 1))
    with patient:
        told = await _play(phase, settings, clock, shoppers, world, days, visits)
    experiment = config.load(file)[0].experiments[name]
    found = run.of(name, experiment, log.read(store, name, experiment, until=later(clock)))
    return Told(phase.name, found, told.availability(), sum(told.errors.values()))


async def _play(
    phase: Phase, settings: Settings, clock: Clock, shoppers: Shoppers, world: World, days: int, visits: int
) -> Counts:
    async with in_process.running(settings, clock) as api:
        simulation = Simulation(api, clock, shoppers, shop_log.items(world, shop.SEED))
        with _faults() if phase.faults else _sound() as strike:
            for day in range(shop.OPENING_DAY, shop.OPENING_DAY + days):
                await simulation.day(day, Days(visits, bare_arms=frozenset(phase.bare)), strike)
    return simulation.counts


def later(clock: Clock) -> datetime:
    """A day after the simulation ended."""
    return datetime.fromtimestamp(clock.now + 86_400, UTC)


@contextmanager
def _sound() -> Iterator[Callable[[Visit], None] | None]:
    yield None


@contextmanager
def _faults() -> Iterator[Callable[[Visit], None]]:
    """In a share of the visits every search in a model's index fails."""
    chance, failing = np.random.default_rng(shop.SEED), False
    propose = nearest.Nearest.propose

    def strike(_: Visit) -> None:
        nonlocal failing
        failing = bool(chance.random() < FAULT_SHARE)

    def faulty(self: nearest.Nearest, query: Query, n: int) -> Candidates:
        if failing:
            raise RuntimeError("switched on")
        return propose(self, query, n)

    with patch.object(nearest.Nearest, "propose", faulty):
        yield strike


def staircase(told: list[Told]) -> list[dict[str, float]]:
    """Uplift in CTR over random after each phase: the steps multiplied, with the interval of the last step's own."""
    total, rows = 1.0, []
    for each in told:
        effect = next(effect for effect in each.readout.effects if effect.metric == "ctr")
        assert effect.relative is not None
        total *= 1 + effect.relative
        rows.append(
            {
                "step": effect.relative,
                "step_low": effect.relative_low or 0.0,
                "step_high": effect.relative_high or 0.0,
                "over_random": total - 1,
            }
        )
    return rows


def show(told: list[Told]) -> pl.DataFrame:
    """One line a phase."""
    return pl.DataFrame(
        [
            {
                "phase": each.phase,
                **{name: f"{value:+.1%}" for name, value in row.items()},
                "availability": json.dumps(each.availability),
            }
            for each, row in zip(told, staircase(told), strict=True)
        ]
    )
