"""Removes items that the user has events with, unless the data set allows repeats."""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import BoolArray, IntArray, Query
from recsys.params import Section
from recsys.ranking import among


class Config(Section):
    """No settings; `split.allow_repeat` of the data set switches the rule off."""


class Seen:
    """The rule. It removes the items of `Query.history`, liked or only viewed, and of older events, `Query.seen`."""

    def __init__(self, bundle: Bundle) -> None:
        self._allow_repeat = bundle.manifest.allow_repeat

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        if self._allow_repeat:
            return np.ones(len(rows), dtype=np.bool_)
        found = among(rows, query.history.items, ascending=True)
        return ~(found | among(rows, query.seen)) if len(query.seen) else ~found


def build(bundle: Bundle, config: Config) -> Seen:
    """Build the rule for a bundle."""
    return Seen(bundle)
