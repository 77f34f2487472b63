"""Do the reasons of an answer add up, and does `without` say what a second call says? Every variant of a bundle.

    python -m benchmarks.serving.reasons BUNDLE [ANSWERS]    writes benchmarks/results/reasons_<data set>.json

`worst_sum`: the largest difference between a score and the sum of its contributions, in units of the largest score of
its list (1 where all are smaller). `worst_without`: the largest difference between `without` of one item of the
history, drawn at random, and the score of a call of its own that is made without that item.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import provenance
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import NEW, History, Query
from recsys.recommend.explanations import Reasons, explain
from recsys.recommend.recommender import Recommender, Slate

MEASURES = ("recsys/recommend", "recsys/rankers", "recsys/encoders")
K, SEED = 10, 7


def main(folder: Path, answers: int = 1_000) -> None:
    """Ask all variants, print a line each, write all."""
    loaded, origin = bundle.load(folder), provenance.describe()
    found = {name: of_variant(loaded, name, answers) for name in loaded.manifest.variants}
    for name, figures in found.items():
        print(name, figures)
    provenance.write(f"reasons_{loaded.manifest.dataset}", origin, {"k": K, "seed": SEED, "variants": found})


def of_variant(loaded: Bundle, name: str, answers: int) -> dict[str, Any]:
    """The worst differences over the answers to users drawn at random."""
    chance, recommender = np.random.default_rng(SEED), Recommender(loaded, name)
    users = chance.choice(len(loaded.histories.users), min(answers, len(loaded.histories.users)), replace=False)
    now = loaded.manifest.trained_until.timestamp()
    worst_sum, worst_without, compared, reasons = 0.0, 0.0, 0, 0
    for user in users.tolist():
        query = Query(loaded.histories.at(user), K, now, loaded.histories.users.external_id(user))
        slate = recommender.recommend(query)
        whys = explain({name: recommender}, slate)
        largest = max([1.0, *(abs(slot.score) for slot in slate.slots)])
        for slot, why in zip(slate.slots, whys, strict=True):
            total = sum(reason.contribution for reason in why.reasons)
            worst_sum, reasons = max(worst_sum, abs(total - slot.score) / largest), reasons + len(why.reasons)
        rows = sorted({r.row for why in whys for r in why.reasons if r.row is not None and r.without is not None})
        if rows:
            differences = second_call(recommender, slate, whys, int(chance.choice(rows)))
            compared, worst_without = compared + len(differences), max([worst_without, *differences])
    figures = {"answers": len(users), "reasons": reasons, "worst_sum": float(f"{worst_sum:.2g}")}
    return figures | {"second_scores_compared": compared, "worst_without": float(f"{worst_without:.2g}")}


def second_call(recommender: Recommender, slate: Slate, whys: list[Reasons], row: int) -> list[float]:
    """The differences between `without` and the scores of the items that a call without `row` shows as well."""
    history = slate.query.history
    kept = history.rows != row
    shorter = History(history.rows[kept], history.weights[kept], history.times[kept])
    again = recommender.recommend(replace(slate.query, history=shorter, vectors={}))
    scores = {(slot.row, slot.source == NEW): slot.score for slot in again.slots if not slot.fallback}
    said = [
        (scores.get((slot.row, slot.source == NEW)), reason.without)
        for slot, why in zip(slate.slots, whys, strict=True)
        for reason in why.reasons
        if reason.row == row
    ]
    return [abs(score - without) for score, without in said if score is not None and without is not None]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
