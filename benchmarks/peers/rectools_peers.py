"""RecTools: implicit ALS and item-kNN, each tuned on the validation window."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from common import Fold, tune_and_run
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from rectools.dataset import Dataset
from rectools.models import ImplicitALSWrapperModel, ImplicitItemKNNWrapperModel

KNN = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}


def ask(model: Any, fold: Fold) -> np.ndarray:
    """Fit, and the lists of the users that the peer knows."""
    events = pd.DataFrame({"user_id": fold.users, "item_id": fold.items, "weight": fold.weights})
    events = events.groupby(["user_id", "item_id"], as_index=False)["weight"].sum()
    dataset = Dataset.construct(events.assign(datetime=pd.Timestamp("2020-01-01")))
    model.fit(dataset)
    known = np.intersect1d(fold.asked, events["user_id"].to_numpy())
    found = model.recommend(users=known, dataset=dataset, k=fold.k, filter_viewed=True)
    rows = np.full((len(fold.asked), fold.k), -1, dtype=np.int32)
    rows[np.searchsorted(fold.asked, found["user_id"]), found["rank"] - 1] = found["item_id"]
    return rows


def als(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """Implicit ALS."""
    return ask(
        ImplicitALSWrapperModel(AlternatingLeastSquares(factors=64, iterations=15, random_state=1, **setting)), fold
    )


def knn(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """Item-kNN."""
    return ask(ImplicitItemKNNWrapperModel(KNN[setting["kind"]](K=setting["k"])), fold)


if __name__ == "__main__":
    grid = itertools.product((1, 2, 5, 10, 40), (0.01, 0.3, 1, 5, 20, 50))
    tune_and_run("rectools_als", als, [{"alpha": float(alpha), "regularization": reg} for alpha, reg in grid])
    neighbours = itertools.product(KNN, (10, 20, 50, 100, 200))
    tune_and_run("rectools_item_knn", knn, [{"kind": kind, "k": k} for kind, k in neighbours])
