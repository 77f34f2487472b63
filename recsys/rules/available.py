"""Removes items that are not in stock."""

from recsys.bundle.bundle import Bundle
from recsys.contracts import BoolArray, IntArray, Query
from recsys.params import Section


class Config(Section):
    """Without settings."""


class Available:
    """The rule; it uses `Query.available`, or without it the catalogue's column of that name."""

    def __init__(self, bundle: Bundle) -> None:
        self._available = bundle.catalogue.available

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        available = self._available if query.available is None else query.available
        return available[rows]


def build(bundle: Bundle, config: Config) -> Available:
    """Make the rule for a bundle."""
    return Available(bundle)
