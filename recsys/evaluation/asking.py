"""Asks the main path what it would have recommended to the sampled users: what is measured is what is served."""

import numpy as np

from recsys.contracts import IntArray, Query
from recsys.errors import RecsysError
from recsys.evaluation.sample import Sample
from recsys.recommender import Answer, Recommender
from recsys.splits import ScoredFold, Split


def answer(recommender: Recommender, split: Split, fold: ScoredFold, user: int, k: int, seed: int) -> Answer:
    """What the main path answers the user in row `user` at the end of the fold's fit set.

    Raises:
        RecsysError: "variant 'als': source als failed for user 'u7'; ..."
    """
    history, user_id = recommender.bundle.histories.at(user), split.users["user_id"][user]
    query = Query(history=history, k=k, now=split.query_now(fold, history), user_id=user_id, seed=seed)
    found = recommender.recommend(query)
    if found.degraded:
        raise RecsysError(
            f"variant {recommender.variant!r}: {', '.join(found.failed)} failed for user {user_id!r}; "
            "figures without it would mislead: repair what the log above shows and run `dvc repro` again"
        )
    return found


def lists(recommender: Recommender, split: Split, sample: Sample, k: int, seed: int) -> IntArray:
    """(n_users, k) int32 item rows of every sampled user's answer, best first, -1 where the answer is shorter."""
    rows = np.full((len(sample.users), k), -1, dtype=np.int32)
    for position, user in enumerate(sample.users.tolist()):
        slots = answer(recommender, split, sample.fold, user, k, seed).slots
        rows[position, : len(slots)] = [slot.row for slot in slots]
    return rows
