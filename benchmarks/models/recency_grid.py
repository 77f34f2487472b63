"""Settings of `als_long`: which ALS is best under the ranker `recency`, on the validation window.

    python -m benchmarks.models.recency_grid WORKSPACE      where `dvc repro split` has run; writes
                                                            benchmarks/results/recency_grid_<data set>.json
    python -m benchmarks.models.recency_grid WORKSPACE 3    only the first three settings

Every setting is fitted on the train window; scores of all unseen items times the recency ratio are ranked for the users
of the validation window who have a history. The test window is not looked at.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import provenance
from recsys import params
from recsys.bundle import catalogue
from recsys.bundle.embeddings import encoder_of
from recsys.contracts import Embeddings, History, epoch_seconds
from recsys.data import split as splits
from recsys.evaluation import metrics, sample
from recsys.models import als

GRID = list(itertools.product((2.0, 5.0, 10.0), (5.0, 10.0, 20.0), (60.0, 180.0, 365.0, 3650.0)))
FACTORS, ITERATIONS, SMOOTHING = 64, 15, 20.0


def main(workspace: Path, first: int = len(GRID)) -> None:
    """Fit the first settings of the grid, print a line each, write all."""
    origin, settings = provenance.describe(), params.load(workspace / "params.yaml")
    split = splits.load(workspace / "data/split")
    fitted, now = split.fit_rows("valid"), split.now("valid")
    counted = catalogue.with_popularity(split.catalogue, fitted, now, settings.data.recent_half_life_days)
    ratio = (counted["recent"] / (counted["popularity"] + SMOOTHING)).to_numpy()
    everyone = sample.draw(split, "valid", counted["popularity"].to_numpy(), split.users.height, settings.seed)
    histories = {
        key[0]: History(part["item_row"].to_numpy(), part["weight"].to_numpy(), epoch_seconds(part["timestamp"]))
        for key, part in fitted.filter(pl.col("user_row").is_in(everyone.users.tolist())).group_by("user_row")
    }
    measured = []
    for alpha, ratio_of_regularization, half_life_days in GRID[:first]:
        setting = {
            "factors": FACTORS,
            "iterations": ITERATIONS,
            "alpha": alpha,
            "regularization": alpha * ratio_of_regularization,
            "half_life_days": half_life_days,
        }
        model = als.fit(split.training("valid", settings.seed, settings.threads), als.Config.model_validate(setting))
        alone, timely = score(model, split, histories, everyone, ratio)
        measured.append({"setting": setting, "alone": alone, "times_recency": timely})
        print(f"{setting} ndcg@10 alone {alone:.4f}, times recency {timely:.4f}", flush=True)
    best = max(measured, key=lambda one: float(str(one["times_recency"])))
    print(f"best: {best}")
    provenance.write(f"recency_grid_{settings.dataset}", origin, {"best": best, "grid": measured})


def score(
    model: Embeddings,
    split: splits.Split,
    histories: dict[object, History],
    asked: sample.Sample,
    ratio: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> tuple[float, float]:
    """NDCG@10 of ALS alone and of ALS times recency, over the users whose history the model can encode."""
    encoder = encoder_of(model)
    lists = np.full((2, len(asked.users), 10), -1, dtype=np.int32)
    for position, user in enumerate(asked.users.tolist()):
        history = histories.get(user)
        vector = encoder.encode(history, split.query_now("valid", history)) if history else None
        if history is None or vector is None:
            continue
        scores = model.vectors @ vector
        for line, ranked in enumerate((scores, scores.clip(min=0) * ratio)):
            unseen = ranked.copy()
            unseen[history.rows] = -np.inf
            lists[line, position] = np.argsort(-unseen, kind="stable")[:10]
    known = (lists[0] >= 0).any(axis=1)
    values = [metrics.ndcg(metrics.hits(rows, asked.targets), asked.targets.lengths)[known].mean() for rows in lists]
    return float(values[0]), float(values[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
