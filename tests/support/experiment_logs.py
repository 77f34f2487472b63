"""Small logs of an experiment, one answer a unit: what the store would hand out, as tuples."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recsys.experiments.analysis import log
from recsys.experiments.analysis.log import Log
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.online.config import Experiment

START = datetime(2026, 6, 1, tzinfo=UTC)
HALVES = {"a": {"variant": "als", "weight": 0.5}, "b": {"variant": "popular", "weight": 0.5}}
ITEMS = ["i1", "i2", "i3"]


def experiment(**more: Any) -> Experiment:
    """Two arms of equal weight."""
    return Experiment.model_validate({"arms": HALVES, **more})


def shown_at(number: int) -> datetime:
    """When unit `number` got its answer."""
    return START + timedelta(minutes=number)


def answers(n: int, arm_of: Callable[[int], str] = lambda number: "ab"[number % 2], **more: Any) -> pl.DataFrame:
    """n answers of units u0, u1, ...; `more` are columns for all of them."""
    rows: list[tuple[Any, ...]] = [
        (f"q{u}", f"u{u}", arm_of(u), None, "warm", shown_at(u), ITEMS, [], False, 12.0 + u % 7 / 10) for u in range(n)
    ]
    frame = pl.DataFrame(rows, schema=log.EXPOSURES, orient="row")
    return frame.with_columns(pl.lit(value).alias(name) for name, value in more.items())


def event(
    number: int, kind: str = "click", value: float | None = None, after: float = 3.0, *, named: bool = True, **more: Any
) -> dict[str, Any]:
    """An event of unit `number`, so many seconds after its answer by the client's clock."""
    return {
        "event_id": f"{kind}{number}",
        "unit": f"u{number}",
        "event": kind,
        "item_id": "i1",
        "value": value,
        "timestamp": shown_at(number) + timedelta(seconds=after),
        "request_id": f"q{number}" if named else None,
        **more,
    }


def events(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """With the server's clock, where any of them says `received`."""
    rows = list(rows)
    more = log.MORE_OF_EVENTS if any("received" in row for row in rows) else {}
    return pl.DataFrame(rows, schema={**log.EVENTS, **more})


def log_of(exposures: pl.DataFrame, rows: Iterable[dict[str, Any]]) -> Log:
    """A log without a time before it."""
    done = events(rows)
    return Log(exposures, done, done.clear())


def trusted(readout: Readout) -> bool:
    """Whether the log passes every check."""
    return all(check.passed for check in readout.checks)


def clickers(n: int, share: float, seed: int = 3) -> list[int]:
    """Which of n units click, by chance."""
    return np.flatnonzero(np.random.default_rng(seed).random(n) < share).tolist()
