"""The log of one experiment, from the store that the API writes: answers shown, and what people did.

The tables are described in docs/stores.md. An answer of an experiment holds in its context: arm, fallback, latency_ms.
"""

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from recsys.errors import DataError
from recsys.experiments.online.config import Experiment
from recsys.store_schema import POSTGRES, SQLITE, named, select_from

UNIT_OF_EVENT = {"user": "user_id", "anonymous": "anonymous_id", "session": "NULL"}
SHOWN = f"""{select_from("exposures")}
           WHERE experiment = {{0}} AND timestamp >= {{1}} AND timestamp < {{2}} ORDER BY timestamp, request_id"""
DONE = """SELECT event_id, {unit} AS unit, event, item_id, value, timestamp, request_id FROM events
          WHERE timestamp >= {0} AND timestamp < {1} ORDER BY timestamp, event_id"""
EXPOSURES: dict[str, Any] = {
    "request_id": pl.String,
    "unit": pl.String,
    "arm": pl.String,
    "surface": pl.String,
    "segment": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "items": pl.List(pl.String),
    "teams": pl.List(pl.String),
    "fallback": pl.Boolean,
    "latency_ms": pl.Float64,
}
EVENTS: dict[str, Any] = {
    "event_id": pl.String,
    "unit": pl.String,
    "event": pl.String,
    "item_id": pl.String,
    "value": pl.Float64,
    "timestamp": pl.Datetime("us", "UTC"),
    "request_id": pl.String,
}


@dataclass(frozen=True)
class Log:
    """exposures and events with the columns of `join.py`; before: events of the time before the experiment."""

    exposures: pl.DataFrame
    events: pl.DataFrame
    before: pl.DataFrame


def read(url: str, name: str, experiment: Experiment, until: datetime | None = None) -> Log:
    """All that was logged of the experiment up to now; events count until the attribution window is over.

    Raises:
        DataError: "store/events.sqlite: nothing was logged for experiment 'home'; ..."
    """
    start = experiment.start.timestamp() if experiment.start else 0.0
    end = min(moment.timestamp() for moment in (until or datetime.now(UTC), experiment.end) if moment is not None)
    window = experiment.attribution_hours * 3600
    shown = _query(url, SHOWN, [name, start, end])
    if not shown:
        raise DataError(f"{named(url)}: nothing was logged for experiment {name!r}; check its name and that it runs")
    exposures = pl.DataFrame(
        [_exposure(row) for row in shown], schema={**EXPOSURES, "timestamp": pl.Float64}, orient="row"
    )
    first = min(row[2] for row in shown)
    done = DONE.replace("{unit}", UNIT_OF_EVENT[experiment.unit])
    before = _events(_query(url, done, [first - 90 * 86_400, first])).drop_nulls("unit")
    return Log(exposures.with_columns(_moment("timestamp")), _events(_query(url, done, [first, end + window])), before)


def _exposure(row: tuple[Any, ...]) -> tuple[Any, ...]:
    request_id, unit, timestamp, surface, segment, items, context = row
    about = json.loads(context)
    shown = [item["item_id"] for item in json.loads(items)]
    told = (about.get("teams") or [], bool(about.get("fallback")), about.get("latency_ms"))
    return request_id, unit, about.get("arm"), surface, segment, timestamp, shown, *told


def _events(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={**EVENTS, "timestamp": pl.Float64}, orient="row")
    return frame.with_columns(_moment("timestamp"))


def _moment(column: str) -> pl.Expr:
    return (pl.col(column) * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us", "UTC")).alias(column)


def _query(url: str, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    """The rows; `{0}`, `{1}` in the statement are the values, as each database wants them written."""
    if url.startswith(SQLITE):
        import apsw

        numbered = statement.format(*(f"?{number}" for number in range(1, len(values) + 1)))
        try:
            with closing(apsw.Connection(url.removeprefix(SQLITE), flags=apsw.SQLITE_OPEN_READONLY)) as file:
                return list(file.execute(numbered, values))
        except apsw.Error as error:
            raise DataError(f"{named(url)}: cannot be read ({error}); is it a migrated store?") from error
    if url.startswith(POSTGRES):
        import psycopg

        try:
            with psycopg.connect(url) as server:
                return server.execute(statement.format(*["%s"] * len(values)), values).fetchall()
        except psycopg.Error as error:
            raise DataError(
                f"{named(url)}: cannot be read ({type(error).__name__}); is it a migrated store?"
            ) from error
    raise DataError(f"{named(url)}: wanted sqlite:///path or postgresql://...")
