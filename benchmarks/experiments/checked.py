"""Tests the checks for lost answers and the off-policy estimates, and times an assignment."""

import json
import time
from typing import Any

import numpy as np
import polars as pl

from benchmarks.experiments.logged import ARMS, EXPERIMENT, FOLDER
from benchmarks.simulator.shoppers import Shoppers
from benchmarks.story import shop
from recsys.contracts import Slot
from recsys.datasets.shop_world.world import world as make_world
from recsys.experiments.analysis import checks, off_policy
from recsys.experiments.online import exploration
from recsys.experiments.online.assignment import Subject, arm_of, assign_one, bucket
from recsys.experiments.online.config import Experiments, Explore
from serving import process
from serving.engine.arms import ArmAssigner, ExperimentsFile


def sample_ratio(n_units: int = 200_000, clean: int = 20_000, defects: int = 100) -> dict[str, Any]:
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
    return not checks.sample_ratio({"a": total - in_b, "b": in_b}, EXPERIMENT).passed


def _lost(units: list[str]) -> checks.Check:
    events = pl.DataFrame(
        {"event": "click", "unit": units, "request_id": [f"r{at}" for at in range(len(units))]},
        schema={"event": pl.String, "unit": pl.String, "request_id": pl.String},
    )
    return checks.equal_loss(
        pl.DataFrame({"request_id": []}, schema={"request_id": pl.String}), events, "e", EXPERIMENT
    )


def off_policy_(seeds: int = 500, visits: int = 1500, pool: int = 6) -> dict[str, Any]:
    """One place that explores among the next best; the new policy always shows the one it likes best there."""
    world = make_world(shop.SMALL, shop.SEED)
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
    assigner, now = ArmAssigner(ExperimentsFile(file)), datetime.now(UTC)
    process.prepare(assigner.provider)
    plain, hooked = [], []
    for _ in range(5):
        started = time.process_time()
        for number in range(n):
            assign_one(experiments, "home", Subject({"user": f"u{number:07d}"}), now)
        plain.append((time.process_time() - started) / n * 1e6)
        started = time.process_time()
        for number in range(n):
            assigner.assign({"user": f"u{number:07d}"}, {"segment": "warm"})
        hooked.append((time.process_time() - started) / n * 1e6)
    return {
        "assignment_us": round(float(np.median(plain)), 2),
        "through_openfeature_us": round(float(np.median(hooked)), 2),
    }
