"""What every write does, once for both databases.

A write is a generator: it yields a statement and one row of parameters per execution, is sent back the rows each
execution returned, and returns its result. A store runs the writes of many callers in one transaction and may have to
run one again, so nothing but SQL happens in it.
"""

import json
import time
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from recsys.store_schema import fingerprint
from serving.stores.protocol import Event, Exposed, Exposure, Item, Rejected
from serving.stores.statements import (
    ADD_EVENT,
    ADD_EXPOSURE,
    ADD_LETTER,
    COUNT,
    FORGET,
    FORGET_LETTERS,
    GUESTS,
    IDENTIFY,
    MOVE,
    PUT_ITEM,
    REMEMBER_HASH,
)

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
Write = Generator[tuple[str, Rows], list[Rows], T]

HOUR = 3600


class Writes:
    """Builds the writes of one store; `salt` is the store's own."""

    def __init__(self, salt: str) -> None:
        self.salt = salt

    def fingerprint(self, user_id: str | None) -> str | None:
        """Salted hash of an id."""
        return None if user_id is None else fingerprint(self.salt, user_id)

    def add_events(self, events: Sequence[Event]) -> Write[list[bool]]:
        """True for each new event; in a fixed order, so that two processes cannot wait for each other."""
        order = sorted(range(len(events)), key=lambda at: events[at].event_id)
        rows = [self._event(events[at]) for at in order]
        new = [False] * len(events)
        for at, returned in zip(order, (yield ADD_EVENT, rows), strict=True):
            new[at] = bool(returned)
        counts = Counter(
            (int(event.timestamp // HOUR), event.item_id, event.event)
            for event, is_new in zip(events, new, strict=True)
            if is_new
        )
        yield COUNT, [(*key, n) for key, n in sorted(counts.items())]
        return new

    def _event(self, event: Event) -> tuple[Any, ...]:
        return (
            event.event_id, event.user_id, event.anonymous_id, event.item_id, event.event, event.value,
            float(event.timestamp), event.request_id, float(event.received),
            self.fingerprint(event.user_id), self.fingerprint(event.anonymous_id),
        )  # fmt: skip

    def add_exposures(self, batch: Sequence[Exposure]) -> Write[None]:
        """What is there already stays as it is."""
        ordered = sorted(batch, key=lambda shown: (shown.request_id, shown.unit))
        yield ADD_EXPOSURE, [self._exposure(shown) for shown in ordered]

    def _exposure(self, shown: Exposure) -> tuple[Any, ...]:
        items = [{name: getattr(item, name) for name in Exposed.__slots__} for item in shown.items]
        return (
            shown.request_id, shown.user_id, shown.anonymous_id, shown.unit, float(shown.timestamp), shown.experiment,
            shown.variant, shown.bundle_id, shown.surface, shown.segment, float(shown.propensity),
            json.dumps(items), json.dumps(dict(shown.context)),
            self.fingerprint(shown.user_id), self.fingerprint(shown.anonymous_id),
        )  # fmt: skip

    def reject(self, rows: Sequence[Rejected]) -> Write[None]:
        """Whatever was sent is kept as JSON, escaped, so that it can always be stored."""
        yield ADD_LETTER, [self._letter(row) for row in rows]

    def _letter(self, row: Rejected) -> tuple[Any, ...]:
        user_id, anonymous_id = _sent_id(row.body, "user_id"), _sent_id(row.body, "anonymous_id")
        return (
            uuid4().hex, user_id, anonymous_id, float(row.received), row.index, _escaped(row.reason),
            json.dumps(row.body), self.fingerprint(user_id), self.fingerprint(anonymous_id),
        )  # fmt: skip

    def upsert_items(self, items: Sequence[Item]) -> Write[None]:
        """Each change gets a version of its own, in the order of the changes."""
        yield (
            PUT_ITEM,
            [
                (
                    item.item_id, item.title, item.text,
                    None if item.categories is None else json.dumps(item.categories),
                    item.price, item.available, item.first_seen,
                )
                for item in items
            ],
        )  # fmt: skip

    def merge(self, anonymous_id: str, user_id: str) -> Write[int]:
        """What comes later follows the identity; what is there is moved."""
        yield IDENTIFY, [(anonymous_id, user_id, time.time())]
        yield MOVE.format(table="exposures"), [(anonymous_id, user_id)]
        moved = yield MOVE.format(table="events"), [(anonymous_id, user_id)]
        return len(moved[0])

    def forget(self, user_id: str) -> Write[dict[str, int]]:
        """The user, and the guests that were merged into the user."""
        guests = yield GUESTS, [(user_id,)]
        ids = [user_id, *(guest for (guest,) in guests[0])]
        deleted = {}
        for table, statement in FORGET.items():
            deleted[table] = len((yield statement, [(user_id,)])[0])
        letters = yield FORGET_LETTERS, [(json.dumps(known), known) for known in ids]
        deleted["dead_letters"] = sum(map(len, letters))
        moment = time.time()
        yield REMEMBER_HASH, [(self.fingerprint(known), moment) for known in ids]
        return deleted


def _sent_id(body: Any, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return _escaped(str(value)) if isinstance(value, str | int | float) else None


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")
