"""Makes the lists that the main path would have served to the sampled users."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from recsys.bundle import bundle as bundles
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, NO_ROWS, History, IntArray, Query
from recsys.data import split as splits
from recsys.data.split import ScoredFold, Split
from recsys.errors import RecsysError
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import QueryMode, Segment
from recsys.recommend.recommender import Recommender, Slate

T = TypeVar("T")


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
    """Return the answer of the main path to the user in row `user` at the end of the fold's fit set.

    known_items: as in `QueryMode`. Query time and excluded items are those of the whole history, so that candidates and
    targets are the same for every number of known items. An item that arrives within
    the window may be shown from its start, one that arrives after it may not.

    Raises:
        RecsysError: "variant 'als': source als failed for user 'u7'; ..."
    """
    history, user_id = recommender.bundle.histories.at(user), split.users["user_id"][user]
    told = history if known_items is None else newest(history, known_items)
    now = split.query_now(fold, history)
    if known_items is not None and not recommender.bundle.manifest.allow_repeat:
        exclude = np.union1d(exclude, history.rows)
    query = Query(history=told, k=k, now=now, user_id=user_id, exclude=exclude, seed=seed, shown_at=split.end(fold))
    found = recommender.recommend(query)
    if found.degraded:
        raise RecsysError(
            f"variant {recommender.variant!r}: {', '.join(found.failed)} failed for user {user_id!r}; "
            "figures without it would mislead: the log above has the cause: repair it and run `dvc repro` again"
        )
    return found


def newest(history: History, known_items: int) -> History:
    """Return the shortest end of the history with `known_items` different liked items, or all of it if it has fewer."""
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
    """Return for every query mode of the segments (n_users, k) int32 item rows, best first, padded with -1.

    The row of a user who counts in no segment with this query mode is all -1.
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


def of_variants(
    work: Callable[[Bundle, Split, str], T], bundle: Path, split: Path, variants: Iterable[str], processes: int
) -> dict[str, T]:
    """Call `work` for each variant, several at once, each in a process that opens bundle and split for itself.

    One process is this one.
    """
    names = list(variants)
    if processes == 1:
        return {name: _of_variant(work, bundle, split, name) for name in names}
    first_last = names[::-1]  # the variants with the most sources are written last: they begin first
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = dict(zip(first_last, pool.map(partial(_of_variant, work, bundle, split), first_last), strict=True))
    return {name: found[name] for name in names}


def _of_variant(work: Callable[[Bundle, Split, str], T], bundle: Path, split: Path, variant: str) -> T:
    with threadpool_limits(1):  # small arrays: a second thread only waits
        return work(*_opened(bundle, split), variant)


@lru_cache(1)
def _opened(bundle: Path, split: Path) -> tuple[Bundle, Split]:
    return bundles.load(bundle), splits.load(split)
