"""Why an item is shown, faithfully: what each item of the user's own history adds to its score.

    for why in explain.slots(bundle, "als", query, answer.slots): ...

Two things are claimed of a slot that a model proposed, and both hold exactly: the shares add up to the model's score,
and had the user never met an item of the history, the score would be `without`. The two differ: without it the others
count for more. What a ranker made of the score is said by `factor`. Other slots have a kind, and no parts.
Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import Explains, Query, Slot
from recsys.rankers import recency

HISTORY = "history"


class Contribution(NamedTuple):
    """An item of the history: its row, what it adds to the score, and the score without it.

    without is None where the model would have nothing left to go by.
    """

    row: int
    share: float
    without: float | None


@dataclass(frozen=True)
class Why:
    """kind: "history", or the source that had its own reason: "popular", "static", "new", "pin", "random".

    score: of the model that proposed the item, the sum of all shares; parts: the largest share first, none unless kind
    is "history". factor: what the variant's ranker multiplied the score with, 1 without a ranker, None for a learned
    ranker, which does not multiply: then the parts say why the item was a candidate.
    """

    kind: str
    score: float | None = None
    factor: float | None = None
    parts: tuple[Contribution, ...] = ()


def slots(bundle: Bundle, variant: str, query: Query, shown: Sequence[Slot]) -> list[Why]:
    """A reason for each slot of an answer of `variant` to `query`."""
    found = [Why(slot.source) for slot in shown]
    for name, model in bundle.models.items():
        mine = [at for at, slot in enumerate(shown) if slot.source == name]
        if not mine or not isinstance(model.encoder, Explains):
            continue
        rows = np.array([shown[at].row for at in mine], dtype=np.int32)
        parts = model.encoder.explain(query.history, query.now, model.embeddings.vectors[rows])
        if parts is None:
            continue
        for at, shares, without in zip(mine, parts.shares, parts.without, strict=True):
            order = np.argsort(-shares, kind="stable")
            found[at] = Why(
                kind=HISTORY,
                score=float(shares.sum()),
                factor=_factor(bundle, variant, shown[at].row),
                parts=tuple(
                    Contribution(row, share, None if isnan(rest) else rest)
                    for row, share, rest in zip(
                        parts.rows[order].tolist(), shares[order].tolist(), without[order].tolist(), strict=True
                    )
                ),
            )
    return found


def _factor(bundle: Bundle, variant: str, row: int) -> float | None:
    ranker = bundle.manifest.variants[variant].ranker
    if ranker is None:
        return 1.0
    if ranker.name != "recency":
        return None
    return float(recency.factor(bundle.catalogue, ranker.config["smoothing"])[row])
