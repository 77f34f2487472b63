"""Simulated logs of an experiment with a known true effect and the faults of real logs, in memory, as read from the
store.

Every unit sees a few answers of five items and clicks by a rate of its own. Arm b clicks more by the uplift, and sooner
after the answer. Client clocks are wrong by up to `clock_seconds`, purchases are returned, events are delivered again
with and without a new id, testers sit in arm b by hand and click on nearly everything, some units are seen in both arms
or in one that the experiment does not have, and people act on items that nobody recommended.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from recsys.experiments.analysis import log
from recsys.experiments.online.assignment import arm_of, bucket
from recsys.experiments.online.config import Experiment

START = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
DAYS, PLACES, ITEMS = 14, 5, 500
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Dirt:
    """named: share of events that carry a request_id; received: whether the log has the server's clock."""

    clock_seconds: float = 5.0
    named: float = 1.0
    received: bool = True
    returns: float = 0.05
    repeated: float = 0.04
    testers: int = 30
    moved_share: float = 0.0002
    slower_ms: float = 40.0


def make(experiment: Experiment, name: str, n_units: int, uplift: float, dirt: Dirt, seed: int) -> log.Log:
    """The log of n_units and of the testers beside them."""
    draw = np.random.default_rng(seed)
    units = np.array([f"{seed}-{number}" for number in range(n_units)])
    treated = np.array([arm_of(experiment, bucket(experiment.seed or name, unit)) == "b" for unit in units])
    answers = np.repeat(np.arange(n_units), draw.poisson(1.0, n_units) + 1)
    shown_at = START + draw.random(len(answers)) * DAYS * 86_400
    items = (draw.integers(0, ITEMS, len(answers))[:, None] + np.arange(PLACES) * 7) % ITEMS
    in_b = treated[answers]
    exposures = _exposures(units[answers], in_b, shown_at, items, draw, dirt)
    rate = draw.beta(3.0, 9.0, n_units)[answers] * np.where(in_b, 1 + uplift, 1.0)
    answer, place = np.nonzero(draw.random(items.shape) < rate[:, None])
    waited = np.where(in_b[answer], 0.8, 4.0) + draw.exponential(3.0, len(answer))
    clicks = _acts("click", answers[answer], items[answer, place], answer, shown_at[answer] + waited)
    bought = clicks.filter(pl.Series(draw.random(clicks.height) < 0.15)).with_columns(
        pl.col("at") + 60, event=pl.lit("purchase"), value=pl.lit(20.0)
    )
    returned = bought.with_columns(
        pl.col("at") + 86_400 * pl.Series(draw.uniform(0.1, 9, bought.height)), event=pl.lit("return")
    ).filter(pl.Series(draw.random(bought.height) < dirt.returns))
    other = draw.integers(0, n_units, n_units // 4)
    organic = _acts("click", other, draw.integers(0, ITEMS, len(other)), np.full(len(other), -1), 0.0).with_columns(
        at=pl.Series(START + draw.random(len(other)) * DAYS * 86_400)
    )
    done = pl.concat([clicks, bought, returned, organic])
    events = _events(done, units, draw, dirt)
    testers = _testers(dirt, seed)
    return log.Log(pl.concat([exposures, testers[0]]), pl.concat([events, testers[1]]), events.clear())


def _exposures(
    units: Array, in_b: Array, at: Array, items: Array, draw: np.random.Generator, dirt: Dirt
) -> pl.DataFrame:
    arms = np.where(in_b, "b", "a")
    astray = draw.random(len(units)) < dirt.moved_share
    arms = np.where(astray, np.where(in_b, "a", "an arm of last week"), arms)
    latency = 12 + draw.exponential(2.0, len(units)) + dirt.slower_ms * in_b
    return pl.DataFrame(
        {
            "request_id": [f"q{number}" for number in range(len(units))],
            "unit": units,
            "arm": arms,
            "surface": None,
            "segment": "warm",
            "timestamp": _moments(at),
            "items": [[f"i{item}" for item in row] for row in items.tolist()],
            "teams": [[]] * len(units),
            "fallback": draw.random(len(units)) < 0.01,
            "latency_ms": latency,
            "forced": False,
        },
        schema={**log.EXPOSURES, "forced": pl.Boolean},
    )


def _acts(event: str, unit: Array, item: Array, answer: Array, at: Array | float) -> pl.DataFrame:
    return pl.DataFrame(
        {"event": event, "unit": unit, "item": item, "answer": answer, "at": at, "value": None},
        schema_overrides={"value": pl.Float64, "at": pl.Float64},
    )


def _events(done: pl.DataFrame, units: Array, draw: np.random.Generator, dirt: Dirt) -> pl.DataFrame:
    """As the API stores them: a client's time in the future becomes that of the arrival."""
    n = done.height
    wrong = draw.uniform(-dirt.clock_seconds, dirt.clock_seconds, len(units))[done["unit"].to_numpy()]
    received = done["at"].to_numpy() + draw.uniform(0.05, 0.3, n)
    told = np.round(np.minimum(done["at"].to_numpy() + wrong, received), 3)
    named = (done["answer"].to_numpy() >= 0) & (draw.random(n) < dirt.named)
    frame = done.select(
        event_id=pl.Series([f"e{number}" for number in range(n)]),
        unit=pl.Series(units[done["unit"].to_numpy()]),
        event="event",
        item_id=pl.format("i{}", "item"),
        value="value",
        timestamp=pl.Series(told),
        request_id=pl.when(pl.Series(named)).then(pl.format("q{}", "answer")),
        received=pl.Series(received),
    )
    again = frame.filter(pl.Series(draw.random(n) < dirt.repeated)).with_columns(pl.col("received") + 5)
    new_id = pl.Series(draw.random(again.height) < 0.5)
    again = again.with_columns(event_id=pl.when(new_id).then(pl.format("{}-again", "event_id")).otherwise("event_id"))
    frame = pl.concat([frame, again]).with_columns(_as_moments("timestamp"), _as_moments("received"))
    return frame if dirt.received else frame.drop("received")


def _testers(dirt: Dirt, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Units in arm b by hand, with many answers and a click on most of what they see."""
    draw, n = np.random.default_rng([seed, 1]), dirt.testers * 20
    who = np.arange(n) % max(dirt.testers, 1)
    names = np.array([f"tester-{number}" for number in range(max(dirt.testers, 1))])
    at = START + draw.random(n) * DAYS * 86_400
    items = (draw.integers(0, ITEMS, n)[:, None] + np.arange(PLACES) * 7) % ITEMS
    exposures = _exposures(names[who], np.ones(n, bool), at, items, draw, Dirt(moved_share=0)).with_columns(
        request_id=pl.format("t{}", "request_id"), forced=pl.lit(True)
    )
    answer, place = np.nonzero(draw.random(items.shape) < 0.9)
    events = _events(_acts("click", who[answer], items[answer, place], answer, at[answer] + 3), names, draw, dirt)
    return exposures, events.with_columns(pl.format("t{}", "event_id"), pl.format("t{}", "request_id"))


def _moments(seconds: Array) -> pl.Series:
    return pl.Series(np.round(seconds * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))


def _as_moments(column: str) -> pl.Expr:
    return (pl.col(column) * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
