"""Writes and reads the histories of all users: flat, memory-mapped arrays, oldest event first.

users/        the user ids, see `id_table.py`       offsets.npy (n_users + 1,) int64: where a user's events begin
rows.npy      (n_events,) int32                     weights.npy (n_events,) float32
times.npy     (n_events,) float64 UTC seconds       attributes.arrow: the users' attributes as JSON, if any
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.bundle import id_table
from recsys.bundle.user_groups import UserGroups
from recsys.contracts import EMPTY_HISTORY, History, epoch_seconds
from recsys.errors import BundleError
from recsys.output import read_array

ATTRIBUTES = "attributes.arrow"
CACHED = 4096  # histories in the cache, with their vectors: about 10 MB


def write(interactions: pl.DataFrame, users: pl.DataFrame, folder: Path) -> None:
    """Write the histories of all users. interactions: user_row, item_row, timestamp, weight, sorted by (user_row,
    timestamp); users: user_id, and attributes if the data have some, in the order of `user_row`."""
    id_table.write(users["user_id"], folder / "users")
    if "attributes" in users.columns:
        users.select("attributes").write_ipc(folder / ATTRIBUTES, compression="uncompressed")
    counts = np.bincount(interactions["user_row"].to_numpy(), minlength=users.height)
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    np.save(folder / "rows.npy", interactions["item_row"].cast(pl.Int32).to_numpy())
    np.save(folder / "weights.npy", interactions["weight"].cast(pl.Float32).to_numpy())
    np.save(folder / "times.npy", epoch_seconds(interactions["timestamp"]))


class Histories:
    """Reads the files of `write`; a history is read from disk when it is requested, and then cached."""

    def __init__(self, folder: Path) -> None:
        self.users = id_table.IdTable(folder / "users")
        self._offsets = read_array(folder / "offsets.npy")
        self._rows = read_array(folder / "rows.npy")
        self._weights = read_array(folder / "weights.npy")
        self._times = read_array(folder / "times.npy")
        self._attributes = _read_attributes(folder / ATTRIBUTES, len(self.users))
        self._cached = lru_cache(CACHED)(self._read)
        self.groups = lru_cache(None)(self._groups)

    def of(self, user_id: str) -> History:
        """Return a user's history; it is empty for a user that the bundle does not contain."""
        position = self.users.position(user_id)
        return EMPTY_HISTORY if position is None else self.at(position)

    def attributes(self, user_id: str) -> dict[str, Any]:
        """Return a user's attributes; none for a user without some, or that the bundle does not contain."""
        position = None if self._attributes is None else self.users.position(user_id)
        text = None if position is None or self._attributes is None else self._attributes[position]
        return json.loads(text) if text else {}

    def query_attributes(self, user_id: str | None, said: Mapping[str, str]) -> Mapping[str, str]:
        """Return the attributes of a query: those that the request `said`, and those of the user that it does not name,
        as texts; a number, a list, yes and no as JSON. user_id: None for a visitor or a user who was forgotten."""
        known = {} if user_id is None else self.attributes(user_id)
        if not known:
            return said
        there = {name: each for name, each in known.items() if each is not None}
        return {**{name: each if isinstance(each, str) else json.dumps(each) for name, each in there.items()}, **said}

    @property
    def attribute_names(self) -> list[str]:
        """The attributes that divide the users into groups, sorted: texts, numbers or yes and no, two values or more,
        and at least two users a value on average, so that no name or e-mail address is among them."""
        if self._attributes is None:
            return []
        names = self._attributes.drop_nulls().str.extract_all(r'"[\w-]+":').explode().unique().drop_nulls()
        values = {name: self._values(name).drop_nulls() for name in names.str.strip_chars('":').sort()}
        return [name for name, found in values.items() if 2 <= found.n_unique() <= len(found) / 2]

    def at(self, position: int) -> History:
        """Return the history of the user at this position of the id table; recent results are cached."""
        return self._cached(position)

    def _values(self, attribute: str) -> pl.Series:
        """Return the value of each user as text, null for a list or none."""
        texts = pl.Series([None] * len(self.users), dtype=pl.String) if self._attributes is None else self._attributes
        values = texts.str.json_path_match(f"$['{attribute}']")
        return values.set(values.str.starts_with("[").fill_null(False), None)

    def _groups(self, attribute: str) -> UserGroups:
        liked = self._weights > 0
        owners = np.repeat(np.arange(len(self.users), dtype=np.int32), np.diff(self._offsets))
        return UserGroups(self._values(attribute), owners[liked], self._rows[liked])

    def _read(self, position: int) -> History:
        part = slice(int(self._offsets[position]), int(self._offsets[position + 1]))
        return History(self._rows[part], self._weights[part], self._times[part])


def _read_attributes(path: Path, n_users: int) -> pl.Series | None:
    if not path.is_file():
        return None
    texts = pl.read_ipc(path)["attributes"]
    objects = texts.drop_nulls().str.json_path_match("$").str.starts_with("{").fill_null(False)
    if len(texts) != n_users or not objects.all():
        raise BundleError(f"{path}: expected a JSON object or null for each of {n_users} users; build the bundle again")
    return texts
