"""What the shop told after the bundle was made, laid over it: changed items, new items, and what is liked now.

    served = overlay.over(bundle, items, likes)     # a new bundle in memory; the one given stays as it is
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from recsys import new_items
from recsys.bundle import Bundle
from recsys.contracts import FloatArray

SAID = new_items.SAID


def over(bundle: Bundle, items: pl.DataFrame, likes: Mapping[str, float]) -> Bundle:
    """The bundle with these items changed or added behind its own, and with more recent popularity.

    items: as in `new_items.upsert`. likes: item_id -> users who liked it since the bundle was made, counted as in
    `Catalogue.recent`. The column `available` of the result is an array of its own, which may be written to.
    """
    changed = new_items.upsert(bundle, items)
    catalogue = replace(changed.catalogue, available=changed.catalogue.available.copy())
    if likes:
        catalogue = replace(catalogue, recent=_recent(changed, likes))
    return replace(changed, catalogue=catalogue)


def _recent(bundle: Bundle, likes: Mapping[str, float]) -> FloatArray:
    recent = bundle.catalogue.recent.copy()
    for item_id, count in likes.items():
        row = bundle.catalogue.ids.position(item_id)
        if row is not None:
            recent[row] += np.float32(count)
    return recent
