"""Removes what the catalogue says cannot be had."""

from recsys.bundle.bundle import Bundle
from recsys.contracts import BoolArray, IntArray, Query
from recsys.params import Section


class Config(Section):
    """Nothing to set."""


class Available:
    """Reads the catalogue's `available` column."""

    def __init__(self, bundle: Bundle) -> None:
        self._available = bundle.catalogue.available

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        return self._available[rows]


def build(bundle: Bundle, config: Config) -> Available:
    """See `Available`."""
    return Available(bundle)
