"""Reads recorded answers and events of a period from the API's store, for drift tests and canaries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, History
from recsys.drift.features import Answer
from recsys.schemas.field_limits import DEFAULT_WEIGHTS
from recsys.schemas.store_reader import snapshot
from recsys.schemas.store_schema import select_from

ROWS = 50_000  # maximum number of rows in one read


@dataclass(frozen=True)
class Recorded:
    """An answer that the API recorded; the columns of the table `exposures`, see docs/stores.md. timestamp: UTC s;
    replay: JSON."""

    request_id: str
    person: str
    timestamp: float
    variant: str
    bundle_id: str
    surface: str
    segment: str
    items: Sequence[dict[str, Any]]
    context: dict[str, Any]
    replay: str | None = None

    @property
    def said(self) -> dict[str, str]:
        """The attributes of the user that the request named."""
        said: dict[str, str] = json.loads(self.replay or "{}").get("request", {}).get("attributes", {})
        return said


@dataclass(frozen=True)
class StoredEvent:
    """An event of a person; the columns of the table `events`, see docs/stores.md. timestamp, received: UTC seconds."""

    person: str
    item_id: str
    event: str
    value: float | None
    timestamp: float
    request_id: str | None
    received: float = 0.0


ANSWERS = f"""{select_from("exposures", *(column.name for column in fields(Recorded)))}
    WHERE timestamp >= $1 AND timestamp < $2 ORDER BY timestamp DESC LIMIT {ROWS}"""
EVENTS = f"""{select_from("events", *(column.name for column in fields(StoredEvent)))}
    WHERE received >= $1 AND received < $2 ORDER BY received DESC LIMIT {ROWS}"""


def answers(url: str, since: float, until: float) -> list[Recorded]:
    """Read the recorded answers with since <= time < until (UTC seconds), newest first, at most `ROWS`.

    Raises:
        DataError: "postgresql://...: the store cannot be read (connection refused); see docs/stores.md"
    """
    with snapshot(url) as select:
        rows = list(select(ANSWERS, since, until))
    return [
        Recorded(
            one,
            person or one,
            at,
            name,
            release,
            surface or "",
            segment or "",
            json.loads(items),
            json.loads(about),
            replay,
        )
        for one, person, at, name, release, surface, segment, items, about, replay in rows
    ]


def events(url: str, since: float, until: float) -> list[StoredEvent]:
    """Read the events received in [since, until) (UTC s), newest first, at most `ROWS`; raises like `answers`."""
    with snapshot(url) as select:
        return [StoredEvent(*row) for row in select(EVENTS, since, until)]


def as_answer(bundle: Bundle, one: Recorded) -> Answer:
    """Return a recorded answer as input of `Features.count`, with the person's history in the bundle."""
    positions = [bundle.catalogue.ids.position(item["item_id"]) for item in one.items]
    confidences = [item.get("confidence") for item in one.items]
    return Answer(
        one.person,
        np.array([-1 if row is None else row for row in positions], dtype=np.int32),
        [item["score"] for item in one.items],
        [item["source"] for item in one.items],
        [np.nan if each is None else each for each in confidences],
        history(bundle, one.person, []).rows,
    )


def user_of(person: str) -> str | None:
    """Return the user_id of a person; None for a visitor.

    >>> user_of("u:7"), user_of("a:7")
    ('7', None)
    """
    return person[2:] if person.startswith("u:") else None


def history(bundle: Bundle, person: str, events: Sequence[StoredEvent]) -> History:
    """Return a person's history in the bundle, followed by the person's `events` since it was trained."""
    user_id = user_of(person)
    known = EMPTY_HISTORY if user_id is None else bundle.histories.of(user_id)
    until, weights = bundle.manifest.trained_until.timestamp(), {**DEFAULT_WEIGHTS, **bundle.manifest.event_weights}
    later = [
        (row, weights.get(each.event, 1.0), each.timestamp)
        for each in sorted(events, key=lambda event: event.timestamp)
        if each.timestamp > until and (row := bundle.catalogue.ids.position(each.item_id)) is not None
    ]
    if not later:
        return known
    rows, values, times = zip(*later, strict=True)
    return History(
        np.concatenate([known.rows, np.array(rows, dtype=np.int32)]),
        np.concatenate([known.weights, np.array(values, dtype=np.float32)]),
        np.concatenate([known.times, times]),
    )
