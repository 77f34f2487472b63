"""Asks the main path what it would have recommended to the sampled users: what is measured is what is served."""

import numpy as np

from recsys.contracts import EMPTY_HISTORY, NO_ROWS, History, IntArray, Query
from recsys.data.split import ScoredFold, Split
from recsys.errors import RecsysError
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import QueryMode, Segment
from recsys.recommend.recommender import Recommender, Slate


def recommend_offline(
    recommender: Recommender,
    split: Split,
    fold: ScoredFold,
    user: int,
    k: int,
    seed: int,
    known_items: int | None = None,
    exclude: IntArray = NO_ROWS,
) -> Slate:
    """What the main path answers the user in row `user` at the end of the fold's fit set.

    known_items: as in `QueryMode`. The moment of asking and the items that may not be shown are those of the whole
    history, so that every number of known items has the same candidates and the same targets.

    Raises:
        RecsysError: "variant 'als': source als failed for user 'u7'; ..."
    """
    history, user_id = recommender.bundle.histories.at(user), split.users["user_id"][user]
    told = history if known_items is None else newest(history, known_items)
    now = split.query_now(fold, history)
    if known_items is not None and not recommender.bundle.manifest.allow_repeat:
        exclude = np.union1d(exclude, history.rows)
    found = recommender.recommend(Query(history=told, k=k, now=now, user_id=user_id, exclude=exclude, seed=seed))
    if found.degraded:
        raise RecsysError(
            f"variant {recommender.variant!r}: {', '.join(found.failed)} failed for user {user_id!r}; "
            "figures without it would mislead: repair what the log above shows and run `dvc repro` again"
        )
    return found


def newest(history: History, known_items: int) -> History:
    """The shortest end of the history with `known_items` different liked items, or all of it if there are fewer."""
    if known_items == 0:
        return EMPTY_HISTORY
    liked = np.flatnonzero(history.weights > 0)[::-1]
    _, places = np.unique(history.rows[liked], return_index=True)
    if len(places) < known_items:
        return history
    start = liked[np.sort(places)[known_items - 1]]
    return History(history.rows[start:], history.weights[start:], history.times[start:])


def recommend_all(
    recommender: Recommender, split: Split, sample: Sample, segments: list[Segment], k: int, seed: int
) -> dict[QueryMode, IntArray]:
    """Every question of the segments -> (n_users, k) int32 item rows, best first, -1 where the answer is shorter.

    Users who count in no segment of a question are not asked it: a row of -1.
    """
    found = {}
    for question in dict.fromkeys(segment.question for segment in segments):
        asked = [segment.counted(sample) for segment in segments if segment.question == question]
        exclude = np.flatnonzero(~sample.arrived).astype(np.int32) if question.arrived_only else NO_ROWS
        rows = np.full((len(sample.users), k), -1, dtype=np.int32)
        for at in np.flatnonzero(np.any(asked, axis=0)).tolist():
            user, known = int(sample.users[at]), question.known_items
            slots = recommend_offline(recommender, split, sample.fold, user, k, seed, known, exclude).slots
            rows[at, : len(slots)] = [slot.row for slot in slots]
        found[question] = rows
    return found
