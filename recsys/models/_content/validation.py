"""Validation during training: NDCG@10 of users' next likes, among all items and among those treated as new."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from recsys.contracts import BoolArray, FloatArray, TrainingData
from recsys.models._content.batches import pooling
from recsys.models._content.training_inputs import TrainingInputs
from recsys.models._matrix import csr
from recsys.ranking import Values, ndcg, top_k

MIN_LIKES = 5  # of a user who is asked
SHARE, HIDDEN = 0.1, 0.1  # of a user's likes, of the items
MAX_USERS = 2000
USERS_AT_A_TIME = 256
AT = 10


@dataclass(frozen=True)
class HeldOut:
    """A validation split. learning: interactions to train on; held: user_row, item_row; hidden: (n_items,) bool."""

    learning: pl.DataFrame
    held: pl.DataFrame
    hidden: BoolArray
    seed: int

    def histories_and_targets(self, learning: csr_matrix) -> tuple[csr_matrix, csr_matrix]:
        """Return (q, n_items) histories of the validation users and their targets."""
        pairs = self.held["user_row"].to_numpy(), self.held["item_row"].to_numpy()
        held = csr(*pairs, np.ones(self.held.height), learning.shape)
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
    """Return the geometric mean of both NDCGs, so that neither rises at the other's cost. items: (n, dim) float32."""
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
    """Return (q,) NDCG per user, NaN without targets; scores: (q, m); wanted: (q, m), non-zero for targets.

    With few items the list has a third of them: a list of all items would be as good as any.
    """
    at = min(AT, -(-scores.shape[1] // 3))
    hits = np.take_along_axis(wanted.toarray() > 0, top_k(scores, at), axis=1)
    return ndcg(hits, np.diff(wanted.indptr))
