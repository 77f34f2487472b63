"""Experiments over and over on dirty logs (`dirty_logs.py`), read as `recsys experiment readout` reads them."""

from collections import Counter
from typing import Any

from benchmarks.experiments.dirty_logs import Dirt, make
from recsys.experiments.analysis import run
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.online.config import Experiment

NAME, UPLIFT, PILOT_UNITS = "home", 0.05, 8000
ARMS = {"a": {"variant": "als", "weight": 0.5}, "b": {"variant": "als_recent", "weight": 0.5}}
# how the events of a log can be joined: the share with a request_id, and whether it has the server's clock
KINDS = {
    "request_id, server's clock": (1.0, True),
    "request_id, client's clock": (1.0, False),
    "a third without request_id": (0.67, True),
    "times only, server's clock": (0.0, True),
    "times only, client's clock": (0.0, False),
}
SLOWER_MS = (0.0, 5.0, 20.0, 40.0, 75.0)  # how much slower b answers; the budget is 100 ms


def dirty(a_a: int = 1000, a_b: int = 500, units: int | None = None) -> dict[str, Any]:
    """A/A and A/B logs at the planned end; units: in place of the planned number."""
    planned = units or planned_units()
    return {
        "planned_units": planned,
        "a_a": _summary([_readout(seed, 0.0, planned) for seed in range(a_a)], 0.0),
        "a_b": _summary([_readout(100_000 + seed, UPLIFT, planned) for seed in range(a_b)], UPLIFT),
    }


def planned_units() -> int:
    """What a plan on another log without any difference says."""
    pilot = Experiment.model_validate({"arms": ARMS, "minimum_effect": UPLIFT})
    found = run.of(NAME, pilot, make(pilot, NAME, PILOT_UNITS * 5, 0.0, Dirt(), seed=999_999)).planned_units
    assert found is not None
    return found


def _readout(seed: int, uplift: float, planned: int) -> tuple[str, Readout]:
    """The kind of log, clocks and latency go round; every log draws its arms anew.

    A few more units than planned come in, since those in two arms are left out.
    """
    kind = list(KINDS)[seed % len(KINDS)]
    named, received = KINDS[kind]
    dirt = Dirt(
        clock_seconds=float(seed % 6), named=named, received=received, slower_ms=SLOWER_MS[seed // 5 % len(SLOWER_MS)]
    )
    experiment = Experiment.model_validate(
        {"arms": ARMS, "seed": f"log-{seed}", "minimum_effect": UPLIFT, "planned_units": planned}
    )
    raw = make(experiment, NAME, planned + planned // 200, uplift, dirt, seed)
    return kind, run.of(NAME, experiment, raw)


def _summary(found: list[tuple[str, Readout]], truth: float) -> dict[str, Any]:
    n = max(len(found), 1)
    return {
        "logs": len(found),
        **_shares([readout for _, readout in found], truth),
        "untrusted": sum(not all(check.passed for check in readout.checks) for _, readout in found) / n,
        "decisions": dict(Counter(readout.decisions["b"][0] for _, readout in found).most_common()),
        "by_kind_of_log": {
            kind: _shares(some, truth)
            for kind in KINDS
            if (some := [readout for each, readout in found if each == kind])
        },
    }


def _shares(found: list[Readout], truth: float) -> dict[str, float]:
    """Of readouts: how often p and the anytime p are below 0.05, the interval holds the truth, and what is decided."""
    effects = [next(effect for effect in readout.effects if effect.metric == "ctr") for readout in found]
    held = [
        effect.relative_low <= truth <= effect.relative_high
        for effect in effects
        if effect.relative_low is not None and effect.relative_high is not None
    ]
    decided = [readout.decisions["b"][0] for readout in found]
    return {
        "fixed_p_below_5_percent": round(sum(effect.p_value < 0.05 for effect in effects) / len(found), 4),
        "anytime_p_below_5_percent": round(sum(effect.p_anytime < 0.05 for effect in effects) / len(found), 4),
        "interval_holds_the_truth": round(sum(held) / len(found), 4),
        "ship": round(decided.count("ship") / len(found), 4),
        "ship_or_stop": round(sum(what in ("ship", "stop") for what in decided) / len(found), 4),
    }
