"""Scores the trials of a search: draws users with targets, and computes NDCG@10 on the validation window.

As in serving, the whole catalogue is ranked, the model's encoder encodes the history, and seen and unavailable items
are left out.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from recsys.bundle.embeddings import encoder_of
from recsys.contracts import BoolArray, Embeddings, FloatArray, History, IntArray, ItemItem
from recsys.data.split import ScoredFold, Split
from recsys.encoders import item_item
from recsys.evaluation.metrics import Ragged, hits, ndcg
from recsys.params import Params
from recsys.ranking import top_k

AT = 10
USERS_AT_A_TIME = 512
MOST_SEEN = 2_000  # length to which a list that is the same for all users is read


@dataclass(frozen=True)
class ValidationTask:
    """The users and items on which every trial is scored.

    histories: by user; nows: query time by user, UTC seconds; targets: item rows by user; available: (n_items,) bool.
    """

    histories: list[History]
    nows: list[float]
    targets: Ragged
    available: BoolArray
    allow_repeat: bool

    def value(self, lists: IntArray) -> float:
        """Return the mean NDCG@10 of lists (n_users, AT) int32, padded with -1."""
        return float(np.mean(ndcg(hits(lists, self.targets), self.targets.lengths)))


def draw_task(data: Split, params: Params, least_events: int, fold: ScoredFold = "valid") -> ValidationTask:
    """Draw at most `tune.max_users` users with targets in the window of `fold` and a history.

    least_events: minimum length of a history; if no user has that many events, any history is long enough.
    """
    targets = data.targets(fold)
    asked = targets["user_row"].unique().sort().to_numpy()
    warm = np.array([len(history) >= least_events for history in data.histories(fold, asked)])
    asked = asked[warm] if warm.any() else asked
    if len(asked) > params.tune.max_users:
        asked = np.sort(np.random.default_rng(params.seed).choice(asked, params.tune.max_users, replace=False))
    histories = data.histories(fold, asked)
    wanted = targets.filter(pl.col("user_row").is_in(pl.Series(asked).implode()))
    return ValidationTask(
        histories=histories,
        nows=[data.query_now(fold, history) for history in histories],
        targets=Ragged.of(
            np.searchsorted(asked, wanted["user_row"].to_numpy()), wanted["item_row"].to_numpy(), len(asked)
        ),
        available=data.available(fold),
        allow_repeat=data.facts.allow_repeat,
    )


def score(model: Embeddings | ItemItem, task: ValidationTask, factor: FloatArray | None = None) -> float:
    """Return the mean NDCG@10 of a model; a user whom it has no vector for counts as 0.

    factor: (n_items,) float32 by which scores above 0 are multiplied, as by a ranker; None for 1.
    """
    return task.value(best_items(model, task, factor))


def best_items(model: Embeddings | ItemItem, task: ValidationTask, factor: FloatArray | None = None) -> IntArray:
    """Return the best items of each user, (n_users, AT) int32, padded with -1; `factor` as in `score`."""
    lists = np.full((len(task.histories), AT), -1, dtype=np.int32)
    rows = np.arange(len(task.available), dtype=np.int32) if isinstance(model, ItemItem) else model.rows
    offered = rows[task.available[rows]]
    column = np.full(len(task.available), -1)
    column[offered] = np.arange(len(offered))
    at = min(AT, len(offered))
    for begin in range(0, len(task.histories), USERS_AT_A_TIME):
        users = range(begin, min(begin + USERS_AT_A_TIME, len(task.histories)))
        scores = _scores(model, task, users)[:, offered]
        if factor is not None:
            scores = np.where(scores > 0, scores, 0) * factor[offered] + np.where(np.isinf(scores), scores, 0)
        for line, user in enumerate([] if task.allow_repeat else users):
            seen = column[task.histories[user].rows]
            scores[line, seen[seen >= 0]] = -np.inf
        best = top_k(scores, at)
        scored = ~np.isneginf(np.take_along_axis(scores, best, axis=1))
        lists[list(users), :at] = np.where(scored, offered[best], -1)
    return lists


def score_order(order: IntArray, task: ValidationTask) -> float:
    """Return the mean NDCG@10 if all users get the items `order` (m,), best first, without those each has seen."""
    order = order[task.available[order]]
    lists = np.full((len(task.histories), AT), -1, dtype=np.int32)
    for user, history in enumerate(task.histories):
        best = order[:AT]
        if not task.allow_repeat and len(history):
            first = order[: min(len(history), MOST_SEEN) + AT]
            best = first[~np.isin(first, history.rows)][:AT]
        lists[user, : len(best)] = best
    return task.value(lists)


def _scores(model: Embeddings | ItemItem, task: ValidationTask, users: range) -> FloatArray:
    """Return (n_users, n_items) float32 scores of these users of the task, -inf for items without a vector."""
    scores = np.full((len(users), len(task.available)), -np.inf, dtype=np.float32)
    if isinstance(model, ItemItem):
        for line, user in enumerate(users):
            of_user = item_item.scores(model, task.histories[user], task.nows[user], len(task.available))
            scores[line] = np.where(of_user > 0, of_user, -np.inf)
        return scores
    encoder = encoder_of(model)
    with threadpool_limits(1, "blas"):  # one thread: the same sums on any number of cores
        found = [encoder.encode(task.histories[user], task.nows[user]) for user in users]
        encoded = [line for line, vector in enumerate(found) if vector is not None]
        if encoded:
            scores[encoded] = np.stack([vector for vector in found if vector is not None]) @ model.vectors.T
    return scores
