"""Proposes random items: the lower baseline of every evaluation."""

import zlib

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import Candidates, Query
from recsys.params import Section


class Config(Section):
    """No settings."""


class Random:
    """The source. The same user and `Query.seed` get the same items."""

    def __init__(self, bundle: Bundle) -> None:
        self._n_items = len(bundle.catalogue)

    def propose(self, query: Query, n: int) -> Candidates:
        draw = np.random.default_rng([query.seed, zlib.crc32((query.user_id or "").encode())])
        rows = draw.choice(self._n_items, size=min(n, self._n_items), replace=False, shuffle=True).astype(np.int32)
        return Candidates(rows, np.linspace(1, 0, len(rows), dtype=np.float32))


def build(bundle: Bundle, config: Config) -> Random:
    """Build the source for a bundle."""
    return Random(bundle)
