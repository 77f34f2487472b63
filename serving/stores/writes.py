"""The SQL of every write, for both databases.

A write is a generator. It yields a statement with a list of parameter rows, one for each execution, and receives the
rows that each execution returned; its return value is the result of the write. A store runs the writes of many callers
in one transaction and may run a write twice, so a write has no effect besides its SQL.
"""

import json
import time
from collections.abc import Generator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from typing import Any, TypeVar
from uuid import uuid4

from msgspec.structs import asdict

from recsys.schemas.store_schema import ITEM_COLUMNS, fingerprint
from serving.encoding import to_json
from serving.stores import statements as sql
from serving.stores.protocol import Event, Exposure, Item, Outcome, Rejected

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
Write = Generator[tuple[str, Rows], list[Rows], T]

BULK_ROWS = 1000  # in one statement: SQLite takes at most 32,766 parameters
CONTENT = ("user_id", "anonymous_id", "item_id", "event", "value", "request_id")
ID_TAKEN = "event_id: another event with other content has this id already; send it under a new, unique id"


def _bulk(statement: str, rows: Rows) -> Write[Rows]:
    """Run a statement that contains `{rows}`, for at most BULK_ROWS rows at a time; return the rows it returned."""
    returned: Rows = []
    for start in range(0, len(rows), BULK_ROWS):
        part = rows[start : start + BULK_ROWS]
        filled = _with_rows(statement, len(part), len(part[0]))
        returned += (yield filled, [tuple(chain.from_iterable(part))])[0]
    return returned


@lru_cache(200)
def _with_rows(statement: str, n: int, width: int) -> str:
    firsts = range(1, n * width + 1, width)
    rows = (",".join(f"${at}" for at in range(first, first + width)) for first in firsts)
    return statement.replace("{rows}", ",".join(f"({row})" for row in rows))


class Writes:
    """Builds the writes of one store. salt: secret of this store, with which it hashes ids."""

    def __init__(self, salt: str) -> None:
        self.salt = salt

    def fingerprint(self, user_id: str | None) -> str | None:
        return None if user_id is None else fingerprint(self.salt, user_id)

    def add_events(self, batches: Sequence[Sequence[Event | Rejected]]) -> Write[list[list[Outcome]]]:
        """Store the events of many callers in a few statements. Return the outcomes of each caller's rows, in their
        order. The events are written in the order of their ids, so that two processes cannot deadlock."""
        outcomes = [
            [Outcome.REJECTED if isinstance(row, Rejected) else Outcome.DUPLICATE for row in b] for b in batches
        ]
        sent = [(b, at, row) for b, rows in enumerate(batches) for at, row in enumerate(rows) if isinstance(row, Event)]
        first: dict[str, tuple[int, int, Event]] = {}
        for place in sent:
            first.setdefault(place[2].stored_id, place)
        added = yield from _bulk(sql.ADD_EVENTS, [self._event(first[stored_id][2]) for stored_id in sorted(first)])
        for stored_id, _ in added:
            number, at, _ = first[stored_id]
            outcomes[number][at] = Outcome.NEW
        again = [place for place in sent if outcomes[place[0]][place[1]] != Outcome.NEW]
        found = yield from _bulk(sql.FIND_EVENTS, [(one,) for one in sorted({event.stored_id for *_, event in again})])
        stored = {row[0]: Event(*row) for row in found}
        letters = [row for rows in batches for row in rows if isinstance(row, Rejected)]
        for number, at, event in again:
            if event.stored_id in stored and not _same(event, stored[event.stored_id]):
                outcomes[number][at] = Outcome.OTHER_CONTENT
                letters.append(Rejected(at, ID_TAKEN, _sent(event), event.received))
        met = {(person, first[id_][2].item_id, first[id_][2].event): first[id_][2].timestamp for id_, person in added}
        yield from _bulk(sql.NOTE_ITEMS, [(*key, float(met[key])) for key in sorted(met)])
        yield from _bulk(sql.ADD_LETTERS, [self._letter(letter) for letter in letters])
        return outcomes

    def _event(self, event: Event) -> tuple[Any, ...]:
        return (
            event.stored_id, event.user_id, event.anonymous_id, event.item_id, event.event, event.value,
            float(event.timestamp), event.request_id, float(event.received),
            self._fingerprint_of(event.user_id, event.anonymous_id),
        )  # fmt: skip

    def _fingerprint_of(self, user_id: str | None, anonymous_id: str | None) -> str | None:
        """Return the salted hash of the user_id, or of the anonymous_id if there is no user_id."""
        return self.fingerprint(anonymous_id if user_id is None else user_id)

    def add_exposures(self, batch: Sequence[Exposure]) -> Write[None]:
        """Store exposures; those that exist already stay as they are."""
        ordered = sorted(batch, key=lambda shown: (shown.request_id, shown.unit))
        yield from _bulk(sql.ADD_EXPOSURES, [self._exposure(shown) for shown in ordered])

    def _exposure(self, shown: Exposure) -> tuple[Any, ...]:
        return (
            shown.request_id, shown.user_id, shown.anonymous_id, shown.unit, float(shown.timestamp), shown.experiment,
            shown.variant, shown.bundle_id, shown.surface, shown.segment, float(shown.propensity),
            _packed(shown.items), _packed(shown.context), None if shown.replay is None else _packed(shown.replay),
            self._fingerprint_of(shown.user_id, shown.anonymous_id),
        )  # fmt: skip

    def _letter(self, row: Rejected) -> tuple[Any, ...]:
        """Return the row of `dead_letters`: what was sent is escaped, so that it can always be stored."""
        user_id, anonymous_id = _sent_id(row.body, "user_id"), _sent_id(row.body, "anonymous_id")
        return (
            uuid4().hex, user_id, anonymous_id, float(row.received), row.index, _escaped(row.reason),
            json.dumps(row.body), self._fingerprint_of(user_id, anonymous_id),
        )  # fmt: skip

    def upsert_items(self, items: Sequence[Item], by: str | None = None) -> Write[None]:
        """Add or change items; every change gets the next version number. by: name of the API key, for the audit."""
        before = yield sql.ITEM_NOW, [(item.item_id,) for item in items]
        replaced = time.time()
        yield sql.KEEP_ITEM, [(item_id, replaced) for item_id in sorted({item.item_id for item in items})]
        yield (
            sql.PUT_ITEM,
            [
                (
                    item.item_id, item.title, item.text,
                    None if item.categories is None else json.dumps(item.categories),
                    item.price, item.available, item.first_seen, item.attributes, item.vector,
                )
                for item in items
            ],
        )  # fmt: skip
        was = [dict(zip(ITEM_COLUMNS, row[0], strict=True)) if row else None for row in before]
        changes = zip(was, items, strict=True)
        yield sql.NOTE, [audit(by, "put item", item.item_id, old, asdict(item)) for old, item in changes]

    def merge(self, anonymous_id: str, user_id: str, sent_by: str | None) -> Write[int]:
        """Merge a visitor into a user. Return the number of moved events. sent_by: name of the API key."""
        before = ((yield sql.WHOSE, [(anonymous_id,)])[0] or [(None,)])[0][0]
        moment = time.time()
        if before != user_id:
            yield sql.NOTE_MERGE, [(uuid4().hex, moment, anonymous_id, user_id, before, sent_by)]
        yield sql.IDENTIFY, [(anonymous_id, user_id, moment)]
        yield sql.MOVE.format(table="exposures"), [(anonymous_id, user_id)]
        yield sql.MOVE_ITEMS, [(anonymous_id, user_id)]
        yield sql.FORGET_ITEMS, [(f"a:{anonymous_id}",)]
        moved = yield sql.MOVE.format(table="events"), [(anonymous_id, user_id)]
        return len(moved[0])

    def unmerge(self, anonymous_id: str, by: str | None = None) -> Write[int | None]:
        """Undo the visitor's last merge. Return the number of moved events; None if there is no merge."""
        last = (yield sql.LAST_MERGE, [(anonymous_id,)])[0]
        if not last:
            return None
        merge_id, user_id, before = last[0]
        now, then = f"u:{user_id}", f"a:{anonymous_id}" if before is None else f"u:{before}"
        yield sql.DROP_MERGE, [(merge_id,)]
        if before is None:
            yield sql.DROP_IDENTITY, [(anonymous_id,)]
        else:
            yield sql.IDENTIFY, [(anonymous_id, before, time.time())]
        yield sql.GIVE_BACK.format(table="exposures"), [(anonymous_id, then, now)]
        moved = yield sql.GIVE_BACK.format(table="events"), [(anonymous_id, then, now)]
        yield from _rebuild(now, then)
        was, became = (self.fingerprint(person[2:]) for person in (now, then))
        yield sql.NOTE, [audit(by, "unmerge", self.fingerprint(anonymous_id), was, became)]
        return len(moved[0])

    def forget(self, user_id: str, by: str | None = None) -> Write[dict[str, int]]:
        """Forget a user with the visitors merged into it, or a visitor. Return the deleted rows per table."""
        guests = yield sql.GUESTS, [(user_id,)]
        ids = [user_id, *(guest for (guest,) in guests[0])]
        became = [f"u:{other}" for (other,) in (yield sql.WHOSE, [(user_id,)])[0]]
        deleted = {}
        for table, statement in sql.FORGET.items():
            deleted[table] = len((yield statement, [(user_id,)])[0])
        yield sql.FORGET_ITEMS, [(f"u:{user_id}",), (f"a:{user_id}",)]
        yield from _rebuild(*became)
        yield sql.FORGET_MERGES, [(user_id,)]
        yield sql.FORGET_MERGES_FROM, [(user_id,)]
        letters = yield sql.FORGET_LETTERS, [(json.dumps(known), known, user_id) for known in ids]
        deleted["dead_letters"] = sum(map(len, letters))
        moment = time.time()
        yield sql.REMEMBER_HASH, [(self.fingerprint(known), moment) for known in ids]
        yield sql.NOTE, [audit(by, "forget", self.fingerprint(user_id), deleted, None)]
        return deleted


def audit(key: str | None, action: str, what: str | None, before: Any, after: Any) -> tuple[Any, ...]:
    """Return a row for `NOTE`, which adds it to the audit log. key: name of the API key or None; what: id of what was
    changed, of a person the hash. Of bytes the log has the hash."""
    texts = [json.dumps(state, default=lambda cell: sha256(cell).hexdigest()) for state in (before, after)]
    return uuid4().hex, time.time(), key, action, what, *texts


def _rebuild(*people: str) -> Write[None]:
    """Rebuild the rows of `person_items` of these persons from their events."""
    yield sql.FORGET_ITEMS, [(person,) for person in people]
    yield sql.REBUILD_ITEMS, [(person,) for person in people]


def _same(sent: Event, stored: Event) -> bool:
    """Return whether both are the same event, sent twice. Times count only if the client sent one both times."""
    arrived = sent.timestamp == sent.received or stored.timestamp == stored.received
    same_time = arrived or sent.timestamp == stored.timestamp
    return same_time and all(getattr(sent, name) == getattr(stored, name) for name in CONTENT)


def _sent(event: Event) -> dict[str, Any]:
    named = {name: getattr(event, name) for name in ("event_id", *CONTENT, "timestamp")}
    return {name: value for name, value in named.items() if value is not None}


def _sent_id(body: Any, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return _escaped(str(value)) if isinstance(value, str | int | float) else None


def _packed(value: Any) -> str:
    return to_json(value).decode()


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")
