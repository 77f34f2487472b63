"""Validates the content model during training: NDCG@10 of users' next likes, among all items and among new ones."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from recsys.contracts import BoolArray, FloatArray, TrainingData
from recsys.models._content.batches import pooling
from recsys.models._content.training_inputs import TrainingInputs
from recsys.ranking import Values, ndcg, top_k

MIN_LIKES = 5  # of a validation user
SHARE, HIDDEN = 0.1, 0.1  # of a user's likes that are held out, of the items that are treated as new
MAX_USERS = 2000
USERS_AT_A_TIME = 256
AT = 10


@dataclass(frozen=True)
class HeldOut:
    """A validation split. learning: interactions to train on; held: user_row, item_row of the held-out likes; hidden:
    (n_items,) bool, items that are treated as new: all their interactions are left out of `learning`."""

    learning: pl.DataFrame
    held: pl.DataFrame
    hidden: BoolArray
    seed: int

    def histories_and_targets(self, learning: csr_matrix) -> tuple[csr_matrix, csr_matrix]:
        """Return the histories and the held-out likes of q validation users, (q, n_items) each. learning: the
        confidences of all users, fitted on `self.learning`."""
        pairs = self.held["user_row"].to_numpy(), self.held["item_row"].to_numpy()
        held = csr_matrix((np.ones(self.held.height, dtype=np.float32), pairs), shape=learning.shape)
        users = np.flatnonzero((np.diff(held.indptr) > 0) & (np.diff(learning.indptr) > 0))
        if len(users) > MAX_USERS:
            users = np.sort(np.random.default_rng([self.seed, 3]).choice(users, MAX_USERS, replace=False))
        return learning[users], held[users]


def hold_out(data: TrainingData) -> HeldOut:
    """Hold out the last tenth of every user's likes, and all events of a tenth of the items."""
    liked = data.interactions.filter(pl.col("weight") > 0)
    last = (
        liked.group_by("user_row", "item_row").agg(pl.col("timestamp").max()).sort("user_row", "timestamp", "item_row")
    )
    place = pl.int_range(1, pl.len() + 1).over("user_row") / pl.len().over("user_row")
    held = last.filter((place > 1 - SHARE) & (pl.len().over("user_row") >= MIN_LIKES)).select("user_row", "item_row")
    items = last["item_row"].unique().sort().to_numpy()
    hidden = np.zeros(data.n_items, dtype=np.bool_)
    hidden[np.random.default_rng([data.seed, 2]).permutation(items)[: round(HIDDEN * len(items))]] = True
    learning = liked.join(held, on=["user_row", "item_row"], how="anti", maintain_order="left")
    return HeldOut(learning.filter(~pl.Series(hidden[learning["item_row"].to_numpy()])), held, hidden, data.seed)


def score(job: TrainingInputs, items: FloatArray) -> float:
    """Return the geometric mean of NDCG among all items and among new ones. items: (n, dim) float32 vectors. The
    geometric mean prevents that one rises at the cost of the other."""
    new = np.flatnonzero(job.hidden)
    figures = []
    for begin in range(0, job.asked.shape[0], USERS_AT_A_TIME):
        asked, wanted = (part[begin : begin + USERS_AT_A_TIME] for part in (job.asked, job.wanted))
        scores = pooling(asked, job.informativeness) @ items @ items.T
        seen = asked.tocoo()
        scores[seen.row, seen.col] = -np.inf
        of_all, of_new = ndcg_of_scores(scores, wanted), ndcg_of_scores(scores[:, new], wanted[:, new])
        figures.append(np.stack([of_all, of_new], axis=1))
    of_users = np.concatenate(figures)
    means = np.nanmean(of_users[:, ~np.isnan(of_users).all(axis=0)], axis=0)
    return float(np.prod(means) ** (1 / len(means))) if len(means) else 0.0


def ndcg_of_scores(scores: FloatArray, wanted: csr_matrix) -> Values:
    """Return the NDCG of each user, (q,), NaN without targets. scores: (q, m); wanted: (q, m), non-zero for targets.
    The list has `AT` items, but at most a third of all: with most of the items in it every order would look good."""
    at = min(AT, -(-scores.shape[1] // 3))
    hits = np.take_along_axis(wanted.toarray() > 0, top_k(scores, at), axis=1)
    return ndcg(hits, np.diff(wanted.indptr))
