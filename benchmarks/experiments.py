"""Do experiments tell the truth? Everything that the readout promises, against shops whose truth is known.

python -m benchmarks.experiments [PART ...]    writes benchmarks/results/experiments.json

log            one large log through the real API: shoppers with repeat visits, one variant for all
a_a            1,000 re-randomisations of its units: false alarms, beside a z-test over requests; 20 looks at each
a_b            planted uplifts of +3 %, 0 and -2 %, and the detectable one: coverage and power
sample_ratio   1 % of one arm's answers lost at 200,000 units, and clean runs
off_policy     doubly robust and SNIPS against the simulator's truth, 500 seeds
speed          microseconds of an assignment, with and without OpenFeature
"""

import asyncio
import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import norm

from benchmarks.machine import describe
from benchmarks.story import in_process, phases, shop
from benchmarks.story.in_process import Clock
from benchmarks.story.simulate import Days, Simulation
from recsys.contracts import Slot
from recsys.datasets.shop_world import log as shop_log
from recsys.experiments import checks, effects, exploration, join, log, off_policy, planning, sequential
from recsys.experiments.assignment import Subject, arm_of, assign_one, bucket
from recsys.experiments.config import Experiment, Experiments, Explore
from recsys.simulator.shoppers import Shoppers
from serving.experiments import Assigner, Following
from serving.settings import Settings

TOP = Path(__file__).parents[1]
RESULTS, FOLDER = TOP / "benchmarks/results/experiments.json", TOP / "build/experiments"
ARMS = {"a": {"variant": "als", "weight": 0.5}, "b": {"variant": "als", "weight": 0.5}}
EXPERIMENT = Experiment.model_validate({"arms": ARMS})
LOOKS = 20


def main(parts: list[str]) -> None:
    """Measure and write; parts that are not asked for stay as they were."""
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    found["machine"] = describe()
    for part in parts:
        started = time.perf_counter()
        found[part] = PARTS[part]()
        found[part]["seconds"] = round(time.perf_counter() - started, 1)
        print(part, json.dumps(found[part], indent=1), flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def make_log(days: int = 14, visits: int = 2500) -> dict[str, Any]:
    """A log of exposures and events, written by the API; kept for the other parts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _, releases = shop.build(shop.FULL, FOLDER / "shop", {})
    return asyncio.run(_fill(releases, days, visits))


async def _fill(releases: Path, days: int, visits: int) -> dict[str, Any]:
    database = FOLDER / "store.sqlite"
    for old in FOLDER.glob("store.sqlite*"):
        old.unlink()
    store, file = f"sqlite:///{database}", FOLDER / "experiments.yaml"
    file.write_text(json.dumps({"experiments": {"all": {"arms": ARMS}}}))
    subprocess.run([sys.executable, "-m", "serving.stores", "migrate", "--url", store], check=True, cwd=TOP)
    world = shop.world(shop.FULL, shop.SEED)
    clock = Clock(shop.opening(shop.FULL))
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


def _logged() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Exposures, and per request the clicks."""
    exposures, events = (pl.read_parquet(FOLDER / f"{name}.parquet") for name in ("exposures", "events"))
    return exposures, join.attribute(exposures, events, join.Rule(24))


def _units(exposures: pl.DataFrame, attributed: pl.DataFrame) -> pl.DataFrame:
    return join.by_unit(exposures.with_columns(arm=pl.lit("a")), attributed)


def _with_arms(units: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
    return units.with_columns(arm=pl.Series(np.array(["a", "b"])[chance.integers(0, 2, units.height)]))


def _of(found: list[effects.Effect], metric: str) -> effects.Effect:
    return next(effect for effect in found if effect.metric == metric)


def a_a(n: int = 1000) -> dict[str, Any]:
    """False alarms at 5 %."""
    exposures, attributed = _logged()
    units = _units(exposures, attributed)
    alarms: dict[str, int] = {}
    for seed in range(n):
        found = effects.effects(_with_arms(units, np.random.default_rng([1, seed])), EXPERIMENT, units.height)
        for effect in found:
            alarms[effect.metric] = alarms.get(effect.metric, 0) + (effect.p_value < 0.05)
    return {
        "experiments": n,
        "false_alarms": {metric: count / n for metric, count in alarms.items()},
        "false_alarms_of_a_z_test_over_requests": _naive(exposures, attributed, n),
        "twenty_looks": _peeking(exposures, attributed, n),
    }


def _naive(exposures: pl.DataFrame, attributed: pl.DataFrame, n: int) -> float:
    """Two proportions over requests, as if every request were drawn by itself."""
    clicked = attributed.filter(pl.col("event") == "click").select("request_id").unique()
    rows = exposures.select("request_id", "unit").join(clicked.with_columns(hit=pl.lit(1.0)), "request_id", "left")
    units, of_unit = np.unique(rows["unit"].to_numpy(), return_inverse=True)
    requests, hits = np.bincount(of_unit), np.bincount(of_unit, rows["hit"].fill_null(0.0).to_numpy())
    alarms = 0
    for seed in range(n):
        arm = np.random.default_rng([1, seed]).integers(0, 2, len(units)).astype(bool)
        sizes = np.array([requests[~arm].sum(), requests[arm].sum()])
        rates = np.array([hits[~arm].sum(), hits[arm].sum()]) / sizes
        pooled = hits.sum() / requests.sum()
        z = (rates[1] - rates[0]) / np.sqrt(pooled * (1 - pooled) * (1 / sizes).sum())
        alarms += 2 * norm.sf(abs(z)) < 0.05
    return alarms / n


def _peeking(exposures: pl.DataFrame, attributed: pl.DataFrame, n: int) -> dict[str, float]:
    """Twenty looks in the course of each A/A test: how often does any of them raise an alarm?"""
    first, last = exposures["timestamp"].min(), exposures["timestamp"].max()
    assert first is not None
    assert last is not None
    span: timedelta = last - first  # type: ignore[operator, assignment]
    tables = []
    for look in range(1, LOOKS + 1):
        until = first + span * (look / LOOKS)  # type: ignore[operator]
        seen = exposures.filter(pl.col("timestamp") <= until)
        units = _units(seen, attributed.filter(pl.col("timestamp") <= until))
        tables.append(units.select("unit", "clicks", "slots"))
    names = tables[-1]["unit"].sort()
    place = {name: at for at, name in enumerate(names.to_list())}
    positions = [np.array([place[name] for name in table["unit"].to_list()]) for table in tables]
    fixed = anytime = 0
    for seed in range(n):
        arms = np.random.default_rng([1, seed]).integers(0, 2, len(names)).astype(bool)
        lowest = lowest_anytime = 1.0
        for table, at in zip(tables, positions, strict=True):
            difference, error = _ratio(table, arms[at])
            lowest = min(lowest, 2 * norm.sf(abs(difference / error)))
            p_value = sequential.p_value(difference, error, table.height, 0.05, len(names))
            lowest_anytime = min(lowest_anytime, p_value)
        fixed += lowest < 0.05
        anytime += lowest_anytime < 0.05
    return {"fixed": fixed / n, "anytime": anytime / n}


def _ratio(table: pl.DataFrame, arm: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Difference of clicks per place between arms and its standard error, by the delta method over units."""
    clicks, slots = table["clicks"].to_numpy(), table["slots"].to_numpy()
    rates, errors = [], []
    for mine in (~arm, arm):
        rate = clicks[mine].sum() / slots[mine].sum()
        rates.append(rate)
        errors.append(np.var(clicks[mine] - rate * slots[mine], ddof=1) / mine.sum() / slots[mine].mean() ** 2)
    return rates[1] - rates[0], float(np.sqrt(sum(errors)))


def a_b(n: int = 500) -> dict[str, Any]:
    """Coverage of planted uplifts, and power at the uplift that the plan calls detectable."""
    units = _units(*_logged())
    wanted = planning.detectable(units, EXPERIMENT, units.height)
    found = {}
    for name, uplift in {"+3 %": 0.03, "0": 0.0, "-2 %": -0.02, "detectable": wanted}.items():
        covered, significant = 0, 0
        for seed in range(n):
            chance = np.random.default_rng([2, seed])
            effect = _of(effects.effects(_planted(_with_arms(units, chance), uplift, chance), EXPERIMENT, 1), "ctr")
            assert effect.relative_low is not None
            assert effect.relative_high is not None
            covered += effect.relative_low <= uplift <= effect.relative_high
            significant += effect.p_value < EXPERIMENT.alpha
        found[name] = {"uplift": round(uplift, 4), "covered": covered / n, "significant": significant / n}
    return {"experiments_each": n, "units": units.height, "planned_power": EXPERIMENT.power, "uplifts": found}


def _planted(units: pl.DataFrame, uplift: float, chance: np.random.Generator) -> pl.DataFrame:
    """Clicks of arm b thinned or added to, so that its expected rate is exactly so much higher."""
    clicks = units["clicks"].to_numpy().astype(int)
    more = clicks + chance.binomial(clicks, uplift) if uplift >= 0 else chance.binomial(clicks, 1 + uplift)
    mine = units["arm"].to_numpy() == "b"
    return units.with_columns(clicks=pl.Series(np.where(mine, more, clicks).astype(float)))


def sample_ratio(n_units: int = 200_000, clean: int = 5000, defects: int = 100) -> dict[str, Any]:
    """How often each check raises its alarm, with and without a loss of 1 % of one arm's answers."""
    chance = np.random.default_rng(3)
    false = sum(_ratio_alarm(chance.binomial(n_units, 0.5), n_units) for _ in range(clean))
    names = [f"unit-{number}" for number in range(n_units)]
    arms = np.array([arm_of(EXPERIMENT, bucket("e", name)) == "b" for name in names])
    ratio_alarms = lost_alarms = clean_lost = 0
    for seed in range(defects):
        draw = np.random.default_rng([4, seed])
        requests = draw.poisson(2.0, n_units) + 1
        kept = draw.binomial(requests, np.where(arms, 0.99, 1.0))
        in_b = int((kept[arms] > 0).sum())
        ratio_alarms += _ratio_alarm(in_b, in_b + int((~arms).sum()))
        missing = np.repeat(np.arange(n_units), requests - kept)
        clicked = missing[draw.random(len(missing)) < 0.3]
        lost_alarms += not _lost([names[at] for at in clicked]).passed
        everywhere = np.flatnonzero(draw.random(n_units) < 0.003)
        clean_lost += not _lost([names[at] for at in everywhere]).passed
    return {
        "units": n_units,
        "clean_runs_accused": {"ratio of units": false / clean, "answers lost by arm": clean_lost / defects},
        "defects_found": {"ratio of units": ratio_alarms / defects, "answers lost by arm": lost_alarms / defects},
    }


def _ratio_alarm(in_b: int, total: int) -> bool:
    units = pl.DataFrame({"arm": ["a", "b"], "len": [total - in_b, in_b]})
    return not checks.sample_ratio_of(dict(units.iter_rows()), EXPERIMENT).passed


def _lost(units: list[str]) -> checks.Check:
    events = pl.DataFrame(
        {"event": "click", "unit": units, "request_id": [f"r{at}" for at in range(len(units))]},
        schema={"event": pl.String, "unit": pl.String, "request_id": pl.String},
    )
    return checks.lost(pl.DataFrame({"request_id": []}, schema={"request_id": pl.String}), events, "e", EXPERIMENT)


def off_policy_(seeds: int = 500, visits: int = 1500, pool: int = 6) -> dict[str, Any]:
    """One place that explores among the next best; the new policy always shows the one it likes best there."""
    world = shop.world(shop.SMALL, shop.SEED)
    covered = dict.fromkeys(("ips", "snips", "dr"), 0)
    worst = 0.0
    settings = Explore(epsilon=0.8, places=1, pool=pool, max_share=1.0)
    for seed in range(seeds):
        shoppers = Shoppers(world, seed)
        draw = np.random.default_rng([5, seed])
        rows, truth = [], []
        for number, visit in enumerate(shoppers.visits(shop.OPENING_DAY, visits)):
            ranked = draw.choice(len(world.items), pool + 1, replace=False)
            slots = [Slot(int(row), 0.0, "x") for row in ranked]
            found = exploration.explore(slots, 1, settings, seed=seed * visits + number)
            choices = found.choices[0]
            worst = max(worst, abs(sum(choices.values()) - 1))
            chances = {row: shoppers.probabilities(visit, [row])[0] for row in choices}
            guess = {row: 0.7 * value + 0.01 for row, value in chances.items()}  # a model, and not a good one
            new = _softmax({row: world.pull[visit.mood, row] for row in choices})
            shown = found.slots[0].row
            reward = float(draw.random() < chances[shown])
            expected = sum(new[row] * guess[row] for row in choices)
            rows.append((reward, choices[shown], new[shown], visit.user, guess[shown], expected))
            truth.append(sum(new[row] * chances[row] for row in choices))
        reward_, propensity, probability, unit, guess_, expected_ = (
            np.array(column) for column in zip(*rows, strict=True)
        )
        logged = off_policy.Log(reward_, propensity, probability, unit.astype(np.int64), guess_, expected_)
        for method in covered:
            estimate = off_policy.estimate(logged, method)
            covered[method] += estimate.low <= float(np.mean(truth)) <= estimate.high
    return {
        "seeds": seeds,
        "rows_each": visits,
        "intervals_that_hold_the_truth": {method: count / seeds for method, count in covered.items()},
        "largest_error_of_the_sum_of_propensities": worst,
    }


def _softmax(values: dict[int, float]) -> dict[int, float]:
    weights = np.sqrt(np.array(list(values.values())))
    return dict(zip(values, (weights / weights.sum()).tolist(), strict=True))


def speed(n: int = 20_000) -> dict[str, Any]:
    """Microseconds a call, the median of five rounds."""
    from datetime import UTC, datetime

    experiments = Experiments(experiments={"home": EXPERIMENT})
    file = FOLDER / "speed.yaml"
    FOLDER.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"experiments": {"home": {"arms": ARMS}}}))
    assigner, now = Assigner(Following(file)), datetime.now(UTC)
    plain, hooked = [], []
    for _ in range(5):
        started = time.process_time()
        for number in range(n):
            assign_one(experiments, "home", Subject({"user": f"u{number:07d}"}), now)
        plain.append((time.process_time() - started) / n * 1e6)
        started = time.process_time()
        for number in range(n):
            assigner.pick({"user": f"u{number:07d}"}, {"segment": "warm"})
        hooked.append((time.process_time() - started) / n * 1e6)
    return {
        "assignment_us": round(float(np.median(plain)), 2),
        "through_openfeature_us": round(float(np.median(hooked)), 2),
    }


PARTS = {
    "log": make_log,
    "a_a": a_a,
    "a_b": a_b,
    "sample_ratio": sample_ratio,
    "off_policy": off_policy_,
    "speed": speed,
}

if __name__ == "__main__":
    main(sys.argv[1:] or list(PARTS))
