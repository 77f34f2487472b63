"""Experiments over and over on the same log: without a difference, and with a planted one."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import norm

from benchmarks.experiments.logged import EXPERIMENT, logged, units_of, with_arms
from recsys.experiments.analysis import effects, planning, sequential

LOOKS = 20


def a_a(n: int = 1000) -> dict[str, Any]:
    """False alarms at 5 %."""
    exposures, attributed = logged()
    units = units_of(exposures, attributed)
    alarms: dict[str, int] = {}
    for seed in range(n):
        found = effects.effects(with_arms(units, np.random.default_rng([1, seed])), EXPERIMENT, units.height)
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
        units = units_of(seen, attributed.filter(pl.col("timestamp") <= until))
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
    units = units_of(*logged())
    wanted = planning.detectable(units, EXPERIMENT, units.height)
    found = {}
    for name, uplift in {"+3 %": 0.03, "0": 0.0, "-2 %": -0.02, "detectable": wanted}.items():
        covered, significant = 0, 0
        for seed in range(n):
            chance = np.random.default_rng([2, seed])
            effect = _of(effects.effects(_planted(with_arms(units, chance), uplift, chance), EXPERIMENT, 1), "ctr")
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


def _of(found: list[effects.Effect], metric: str) -> effects.Effect:
    return next(effect for effect in found if effect.metric == metric)
