"""Guesses which file holds the events and which the items, and the role of each column, by names, kinds and values."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from recsys.datasets._inspect.columns import TIME_NAMES, Column
from recsys.datasets._inspect.sample import Sample, label

SHARED = 0.5  # share of common values of two columns that identify the same things
NAMES = {
    "user_id": r"user|customer|client|reader|member|visitor|buyer|shopper|household|kunde|nutzer|account|person|uid|"
    r"profile|device|cookie|guest|session",
    "item_id": r"item|product|article|artikel|produkt|sku|isbn|asin|movie|film|book|track|song|stockcode|news|content|"
    r"ean|upc|goods|offer|listing|variant",
    "timestamp": TIME_NAMES,
    "event": r"event|action|interaction|behaviou?r|activity|type",
    "value": r"rating|score|stars|price|preis|amount|betrag|total|revenue|value",
    "quantity": r"quantity|qty|menge|anzahl|pieces|units",
    "title": r"title|titel|name|bezeichnung|headline|label",
    "text": r"description|beschreibung|text|abstract|body|plot|summary|content",
    "categories": r"categor|kategor|genre|subject|tag|topic|department|group|gruppe|class|type",
    "price": r"price|preis|cost",
    "available": r"available|in_?stock|active|verf.gbar|lieferbar",
    "first_seen": r"created|added|publish|release|first|since|launch|date|time",
    "vector": "",  # under any name
}
# "number": 17850.0 is written by programs that read the id as a number
IDS = ("text", "few values", "whole number", "number")
LOOKS: dict[str, Callable[[Column], bool]] = {
    **dict.fromkeys(("user_id", "item_id"), lambda column: column.kind in IDS),
    **dict.fromkeys(("timestamp", "first_seen"), lambda column: column.kind == "time"),
    **dict.fromkeys(("value", "quantity", "price"), lambda column: column.is_number),
    "event": lambda column: column.distinct <= 20 and not column.is_number and column.kind != "time",
    "title": lambda column: column.kind in ("text", "few values"),
    "text": lambda column: column.kind in ("text", "list"),
    "categories": lambda column: column.kind in ("list", "few values", "text"),
    "vector": lambda column: column.kind == "vector",
    "available": lambda column: column.kind == "yes or no" or (column.is_number and column.distinct <= 2),
}
OF_EVENTS = ("timestamp", "user_id", "item_id", "event", "quantity", "value")
OF_ITEMS = ("title", "price", "categories", "text", "available", "first_seen", "vector")


@dataclass(frozen=True)
class Table:
    """A sample and its columns. roles: canonical name -> the column that was assigned to it."""

    sample: Sample
    columns: tuple[Column, ...]
    roles: Mapping[str, Column] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        return [name for name in ("user_id", "item_id", "timestamp") if name not in self.roles]


Pair = tuple[Column, Column, Table]  # see `_joined`


def assign(tables: list[Table]) -> tuple[Table, Table | None, Table | None, Table | None]:
    """Return the tables of the events, the items, the users and the vectors of items, None if no file has them. If no
    file has all of users, items and times, a file that has the missing columns is joined to that of the events, such as
    the orders to the order lines. More files of items, such as their prices, are joined to the first."""
    whole = [each for each in tables if not _by_name(each, OF_EVENTS, by_place=False).missing]
    pairs = [(each, other) for each in tables for other in tables if not whole]
    joined = [found for each, other in pairs if (found := _joined_with(other, each)) is not None]
    if joined:
        events = _by_name(min(joined, key=lambda each: len(_unnamed(each))), OF_EVENTS)
    else:
        events = max((_by_name(each, OF_EVENTS) for each in tables), key=_like_events)
    used = {events.sample.label, *map(label, events.sample.settings.get("joins", {}).values())}
    others = [pair for each in tables if each.sample.label not in used and (pair := _joined(events, each)) is not None]
    user_id = events.roles.get("user_id")
    user_id = user_id if user_id is not None and _named(user_id, "user_id") else None
    of_users = [pair for pair in others if pair[0] is user_id]
    of_items = [pair for pair in others if pair[0] is not user_id]
    users = replace(of_users[0][2], roles={"user_id": of_users[0][1]}) if of_users else None
    if not of_items:
        return events, None, users, None
    item_id, key, items = max(of_items, key=lambda pair: (not _only_vectors(pair[2]), pair[0].distinct))
    vectors = None
    for mine, theirs, table in of_items:
        if mine is item_id and table is not items and _only_vectors(table):
            vectors = replace(table, roles={"item_id": theirs, **_by_name(table, ("vector",)).roles})
    roles = _by_name(_drop(events, item_id), tuple(name for name in OF_EVENTS if name != "item_id")).roles
    events = replace(events, roles={**roles, "item_id": item_id})
    for mine, theirs, table in of_items:
        if mine is item_id and table.sample.label not in (items.sample.label, vectors and vectors.sample.label):
            items = _with_columns(items, key, theirs, table)
    items = replace(items, roles={"item_id": key, **_by_name(_drop(items, key), OF_ITEMS).roles})
    return events, items, users, vectors


def _only_vectors(table: Table) -> bool:
    return len(table.columns) == 2 and any(column.kind == "vector" for column in table.columns)


def _drop(table: Table, used: Column) -> Table:
    """Return the table without a column."""
    return replace(table, columns=tuple(column for column in table.columns if column is not used))


def _named(column: Column, role: str) -> bool:
    return re.search(NAMES[role], (column.plain or column.name).lower()) is not None


def _by_name(table: Table, names: tuple[str, ...], by_place: bool = True) -> Table:
    """Assign each of `names` to the first free column of fitting name and kind; by_place: an id may have any name."""
    roles: dict[str, Column] = {}
    needed = [name for name in names if name in ("timestamp", "user_id", "item_id")]
    for by_name, wanted in ((True, needed), (False, needed if by_place else []), (True, names)):
        for name in wanted:
            free = [column for column in table.columns if column not in roles.values() and LOOKS[name](column)]
            if by_name:
                free = [column for column in free if _named(column, name)]
            elif name != "timestamp":
                free = [column for column in free if column.kind in ("text", "whole number")]
            if free and name not in roles:
                roles[name] = free[0]
    return replace(table, roles=roles)


def _joined_with(other: Table, own: Table) -> Table | None:
    """Return `own` joined with `other`, if that adds a column of the user or the time that `own` lacks; else None."""
    needed = _unnamed(own)
    found = _joined(own, other) if needed else None
    if found is None or found[0].distinct == len(found[0].values):
        return None
    both = _drop(_with_columns(own, *found), found[0])
    return both if len(_unnamed(both)) < len(needed) else None


def _with_columns(own: Table, mine: Column, key: Column, other: Table) -> Table:
    """Return `own` with the columns of `other`, looked up where its column `mine` is `key`, and with that setting."""
    name = re.sub(r"\W", "_", other.sample.settings.get("sheet") or other.sample.source.path.name.partition(".")[0])
    settings = {"path": str(other.sample.path), **other.sample.settings, "on": mine.name}
    join = settings | ({"key": key.name} if key.name != mine.name else {})
    rows = other.sample.table.with_columns(pl.col(key.name).str.strip_chars()).unique(key.name, keep="first")
    rows = rows.rename({column: f"{name}.{column}" for column in rows.columns})
    on = pl.col(mine.name).str.strip_chars()
    table = own.sample.table.join(rows, left_on=on, right_on=f"{name}.{key.name}", how="left", maintain_order="left")
    theirs = [replace(column, name=f"{name}.{column.name}", plain=column.name) for column in _drop(other, key).columns]
    joins = own.sample.settings.get("joins", {}) | {name: join}
    sample = replace(own.sample, table=table, settings=own.sample.settings | {"joins": joins})
    return Table(sample, (*own.columns, *theirs))


def _unnamed(table: Table) -> set[str]:
    """Return which of `user_id` and `timestamp` no column has a similar name to."""
    return {"user_id", "timestamp"} - set(_by_name(table, ("user_id", "timestamp"), by_place=False).roles)


def _like_events(table: Table) -> tuple[int, int]:
    """Return a sort key that is largest for a table of events: number of roles found, repetitions of the item."""
    item_id = table.roles.get("item_id")
    return 3 - len(table.missing), 0 if item_id is None else len(item_id.values) - item_id.distinct


def _joined(events: Table, other: Table) -> Pair | None:
    """Return (column of the events, key column of the other file, that file) with the most ids in common, or None.
    Users and items may both be numbered from 1: a column with the name of the key is preferred, one that is named like
    a user comes last."""
    best = None
    for key in (column for column in other.columns if column.distinct >= 0.9 * len(column.values) > 0):
        ids = set(key.values.to_list())
        for column in events.columns:
            mine = set(column.values.to_list()) if LOOKS["item_id"](column) else set()
            shared = len(mine & ids)
            named = column.name == key.name, not re.search(NAMES["user_id"], column.name.lower())
            if mine and shared >= SHARED * min(len(mine), len(ids)) and (best is None or (*named, shared) > best[0]):
                best = (*named, shared), column, key
    return None if best is None else (best[1], best[2], other)
