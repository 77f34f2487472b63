"""Reads the log of one experiment from the API's store: the answers (exposures) and the events of its units.

The tables are described in docs/stores.md. The column `context` of an answer is JSON with arm, fallback, latency_ms.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from recsys.contracts import SECONDS_PER_DAY
from recsys.errors import DataError
from recsys.experiments.online.config import Experiment
from recsys.schemas.field_limits import PURCHASE, RETURN, number_faults, read_returns
from recsys.schemas.store_reader import Rows, snapshot
from recsys.schemas.store_schema import named, select_from

UNIT_OF_EVENT = {"user": "user_id", "anonymous": "anonymous_id", "session": "NULL"}
UNIT_OF_ANSWER = {**UNIT_OF_EVENT, "session": "unit"}
HISTORY_DAYS = 90
ANSWER = (
    "request_id",
    "{unit} AS unit",
    "timestamp",
    "surface",
    "segment",
    "propensity",
    "items",
    "context",
    "variant",
)
# $1, $2: begin and end of the time range, UTC seconds; $3: the name of the experiment
ANSWERS = f"""{select_from("exposures", *ANSWER)}
    WHERE timestamp >= $1 AND timestamp < $2 AND {{which}} ORDER BY timestamp, request_id"""
OF_THE_EXPERIMENT, OF_ANY = "experiment = $3", "{unit} IS NOT NULL"
# $4: the time from which only returns are read
EVENTS_BETWEEN = f"""SELECT event_id, {{unit}} AS unit, event, item_id, value, timestamp, request_id, received,
    EXISTS (SELECT 1 FROM exposures WHERE exposures.request_id = events.request_id
        AND (experiment IS NULL OR experiment <> $3)) AS elsewhere
    FROM events WHERE received >= $1 AND received < $2
    AND (received < $4 OR event = '{RETURN}' OR (event = '{PURCHASE}' AND value < 0)) ORDER BY received, event_id"""
EXPOSURES: dict[str, Any] = {
    "request_id": pl.String, "unit": pl.String, "arm": pl.String, "surface": pl.String, "segment": pl.String,
    "timestamp": pl.Datetime("us", "UTC"), "items": pl.List(pl.String), "teams": pl.List(pl.String),
    "fallback": pl.Boolean, "latency_ms": pl.Float64,
}  # fmt: skip
EVENTS: dict[str, Any] = {
    "event_id": pl.String, "unit": pl.String, "event": pl.String, "item_id": pl.String, "value": pl.Float64,
    "timestamp": pl.Datetime("us", "UTC"), "request_id": pl.String,
}  # fmt: skip
MORE_OF_EXPOSURES: dict[str, Any] = {
    "forced": pl.Boolean, "propensities": pl.List(pl.Float64), "sources": pl.List(pl.String), "variant": pl.String,
}  # fmt: skip
MORE_OF_EVENTS: dict[str, Any] = {"received": pl.Datetime("us", "UTC"), "elsewhere": pl.Boolean}


@dataclass(frozen=True)
class Log:
    """The log of an experiment. exposures, events: columns as in `join.py`; before: events of 90 days before the
    answers."""

    exposures: pl.DataFrame
    events: pl.DataFrame
    before: pl.DataFrame

    def cleaned(self) -> "tuple[Log, dict[str, int]]":
        """Return the log as the analysis needs it, and a description of each change -> the number of rows changed.
        Absent optional columns are added as null, copies of answers and events are dropped, purchases of a negative
        value become returns, and an amount or latency that is no plausible number becomes null. An event is a copy if
        its event_id, or everything else that the client sets, is that of an earlier one."""
        exposures = _filled(self.exposures, MORE_OF_EXPOSURES).drop_nulls(["request_id", "unit", "timestamp"])
        answers = exposures.unique(["request_id", "unit"], keep="first", maintain_order=True)
        answers = answers.with_columns(fault=number_faults("latency_ms", negative=False)).with_columns(
            _if_usable("latency_ms")
        )
        events = _filled(self.events, MORE_OF_EVENTS)
        by_id = events.unique("event_id", keep="first", maintain_order=True)
        # an event without a client's time has the time of its arrival: two such events are no copies
        own = pl.when(pl.col("timestamp") == pl.col("received")).then("event_id").alias("own")
        set_by_client = ["unit", "event", "item_id", "value", "timestamp", "request_id", own]
        once = by_id.unique(set_by_client, keep="first", maintain_order=True)
        done = read_returns(once.lazy()).collect().with_columns(fault=number_faults("value"))
        done = done.with_columns(_if_usable("value"))
        counts = {
            "answers logged twice": exposures.height - answers.height,
            "events delivered twice": events.height - by_id.height,
            "events delivered twice, under other ids": by_id.height - once.height,
            "amounts that are no numbers": done["fault"].count() + answers["fault"].count(),
        }
        return Log(answers.drop("fault"), done.drop("fault"), self.before), counts


def read(url: str, name: str, experiment: Experiment, until: datetime | None = None) -> Log:
    """Read the log of an experiment from the store, with events up to the end of the attribution window.

    url: of the store; until: the end of the answers, by default now.

    Raises:
        DataError: "store/events.sqlite: nothing was logged for experiment 'home'; ..."
    """
    found = _read(url, name, experiment, until, OF_THE_EXPERIMENT, "unit")
    if found.exposures.is_empty():
        raise DataError(f"{named(url)}: nothing was logged for experiment {name!r}; check its name and that it runs")
    return found


def read_history(url: str, name: str, experiment: Experiment) -> Log:
    """Read the answers of the last 90 days on the experiment's surfaces and segments, with or without an experiment,
    and the events. url: of the store; name: the experiment's."""
    since = datetime.now(UTC) - timedelta(days=HISTORY_DAYS)
    recent = experiment.model_copy(update={"start": since, "end": None})
    found = _read(url, name, recent, None, OF_ANY, UNIT_OF_ANSWER[experiment.unit])
    answers = found.exposures
    for column, aimed_at in (("surface", experiment.targeting.surfaces), ("segment", experiment.targeting.segments)):
        answers = answers.filter(pl.col(column).is_in(aimed_at)) if aimed_at else answers
    return Log(answers, found.events.with_columns(elsewhere=pl.lit(False)), found.before)


def _read(url: str, name: str, experiment: Experiment, until: datetime | None, which: str, unit_of_answer: str) -> Log:
    now = until or datetime.now(UTC)
    start = experiment.start.timestamp() if experiment.start else 0.0
    end = min(now, experiment.end or now).timestamp()
    window = experiment.attribution_hours * 3600
    answers = ANSWERS.replace("{which}", which).replace("{unit}", unit_of_answer)
    done = EVENTS_BETWEEN.replace("{unit}", UNIT_OF_EVENT[experiment.unit])
    with snapshot(url) as select:
        rows = list(select(answers, start, end, *([name] if which == OF_THE_EXPERIMENT else [])))
        first = min((row[2] for row in rows), default=start)
        before = _events(select(done, first - HISTORY_DAYS * SECONDS_PER_DAY, first, name, first))
        after = _events(select(done, first, now.timestamp() + window, name, end + window))
    exposures = pl.DataFrame(
        [(*_exposure(row[:-1]), row[-1]) for row in rows], schema=_seconds(EXPOSURES | MORE_OF_EXPOSURES), orient="row"
    )
    return Log(exposures.with_columns(_moment("timestamp")), after, before.drop_nulls("unit"))


def _exposure(row: tuple[Any, ...]) -> tuple[Any, ...]:
    request_id, unit, timestamp, surface, segment, propensity, items, context = row
    about, places = json.loads(context), json.loads(items)
    lists = ([place.get(key) for place in places] for key in ("propensity", "source"))
    shown = [place["item_id"] for place in places]
    state = (about.get("teams") or [], bool(about.get("fallback")), about.get("latency_ms"), propensity >= 1)
    return request_id, unit, about.get("arm"), surface, segment, timestamp, shown, *state, *lists


def _events(rows: Rows) -> pl.DataFrame:
    frame = pl.DataFrame(
        [(*row[:-1], bool(row[-1])) for row in rows], schema=_seconds(EVENTS | MORE_OF_EVENTS), orient="row"
    )
    return frame.with_columns(_moment("timestamp"), _moment("received"))


def _seconds(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: pl.Float64 if isinstance(kind, pl.Datetime) else kind for name, kind in schema.items()}


def _moment(column: str) -> pl.Expr:
    return (pl.col(column) * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us", "UTC")).alias(column)


def _filled(frame: pl.DataFrame, more: dict[str, Any]) -> pl.DataFrame:
    return frame.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in more.items() if name not in frame.columns
    )


def _if_usable(column: str) -> pl.Expr:
    return pl.when(pl.col("fault").is_null()).then(column).alias(column)
