"""Data of the store that an answer needs besides the bundle: changed and new items, and the state of a user."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b

import polars as pl

from recsys.bundle.bundle import Bundle
from recsys.bundle.items import item_upsert
from serving.stores.protocol import Event, Item


@dataclass(frozen=True)
class StoreOverlay:
    """Items that were changed or added since the bundle was trained, at a version of the store. items: item_id -> its
    changed fields; born: ids of items that enough users like, but that are not in the bundle; revision: rises with
    every change, unless it changes nothing but stock; when it rises, a new engine must be built."""

    version: int = 0
    revision: int = 0
    items: Mapping[str, Item] = field(default_factory=dict)
    born: frozenset[str] = frozenset()

    @property
    def born_version(self) -> str | None:
        """Hash of `born`; None if it is empty."""
        return blake2b(self.packed_born().encode(), digest_size=8).hexdigest() if self.born else None

    def packed_born(self) -> str:
        return json.dumps(sorted(self.born))

    def over(self, bundle: Bundle) -> Bundle:
        return item_upsert.upsert(bundle, self._frame())

    def _frame(self) -> pl.DataFrame:
        items = [*self.items.values(), *map(Item, self.born - self.items.keys())]
        items.sort(key=lambda item: item.item_id)  # the rows of new items do not depend on what changed first
        names = (name for name in item_upsert.COLUMNS if name != "first_seen")
        columns = {name: [getattr(item, name) for item in items] for name in names}
        seen = [datetime.fromtimestamp(item.first_seen, tz=UTC) if item.first_seen else None for item in items]
        return pl.DataFrame({**columns, "first_seen": seen}, schema=item_upsert.COLUMNS)


@dataclass(frozen=True)
class UserState:
    """The state of one user in the store. events: the latest ones, oldest first; version: changes with them. seen:
    item_id -> whether it was disliked, for the items of all events of the user; empty if `events` has all. forgotten:
    whether the bundle's history of the user may not be used; failed: whether the store could not be read."""

    events: Sequence[Event] = ()
    version: int = 0
    seen: Mapping[str, bool] = field(default_factory=dict)
    forgotten: bool = False
    failed: bool = False

    def digest(self) -> str:
        """Return a text that changes with the state, for cache keys and replays."""
        seen = blake2b(repr(sorted(self.seen.items())).encode(), digest_size=8).hexdigest() if self.seen else ""
        return f"{self.version} {self.forgotten} {seen}"


NOTHING = StoreOverlay()
NOBODY = UserState()
