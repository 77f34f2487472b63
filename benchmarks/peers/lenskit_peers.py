"""LensKit: implicit ALS and item-kNN, each tuned on the validation window."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from common import Fold, tune_and_run
from lenskit.als import ImplicitMFScorer
from lenskit.batch import recommend
from lenskit.data import from_interactions_df
from lenskit.knn import ItemKNNScorer
from lenskit.pipeline import topn_pipeline
from lenskit.training import TrainingOptions


def ask(scorer: Any, fold: Fold) -> np.ndarray:
    """Fit, and the lists of the users that the peer knows."""
    events = pd.DataFrame({"user_id": fold.users, "item_id": fold.items}).drop_duplicates()
    pipeline = topn_pipeline(scorer, n=fold.k)
    pipeline.train(from_interactions_df(events), TrainingOptions(rng=1))
    rows = np.full((len(fold.asked), fold.k), -1, dtype=np.int32)
    known = np.intersect1d(fold.asked, events["user_id"].to_numpy())
    for key, found in recommend(pipeline, known.tolist(), n=fold.k, n_jobs=1):
        ids = found.ids()[: fold.k]
        rows[np.searchsorted(fold.asked, key.user_id), : len(ids)] = ids
    return rows


def als(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """Implicit ALS."""
    return ask(ImplicitMFScorer(embedding_size=64, epochs=15, use_ratings=False, **setting), fold)


def knn(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """Item-kNN."""
    return ask(ItemKNNScorer(feedback="implicit", **setting), fold)


if __name__ == "__main__":
    grid = itertools.product((1, 2, 5, 10, 40), (0.01, 0.1, 0.3, 1))
    tune_and_run("lenskit_als", als, [{"weight": float(weight), "regularization": reg} for weight, reg in grid])
    tune_and_run("lenskit_item_knn", knn, [{"max_nbrs": k} for k in (10, 20, 50, 100, 200)])
