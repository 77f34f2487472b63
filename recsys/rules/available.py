"""Removes items that are not in stock."""

from recsys.bundle.bundle import Bundle
from recsys.contracts import BoolArray, IntArray, Query
from recsys.params import Section


class Config(Section):
    """No settings."""


class Available:
    """The rule. It uses `Query.available`; if that is None, the column `available` of the catalogue."""

    def __init__(self, bundle: Bundle) -> None:
        self._available = bundle.catalogue.available

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        available = self._available if query.available is None else query.available
        return available[rows]


def build(bundle: Bundle, config: Config) -> Available:
    """Build the rule for a bundle."""
    return Available(bundle)
