"""Makes the lists that the recommender would have served to the sampled users."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from recsys.bundle import bundle as bundles
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, NO_ROWS, History, IntArray, Query, Slot
from recsys.data import split as splits
from recsys.data.split import ScoredFold, Split
from recsys.errors import RecsysError
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import PLAIN, QueryMode, Segment
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
    """Return a list of k items for the user in row `user`, as served at the end of the fold's fit set.

    known_items: pass only the newest part of the history, with this many liked items; None: all of it. Query time and
    seen items are those of the whole history either way, so that results can be compared. exclude: further item rows to
    leave out. Items that arrive within the fold's window may be recommended, later ones not.

    Raises:
        RecsysError: "variant 'als': source als failed for user 'u7'; ..."
    """
    history, user_id = recommender.bundle.histories.at(user), split.users["user_id"][user]
    known = history if known_items is None else newest(history, known_items)
    now = split.query_now(fold, history)
    if known_items is not None and not recommender.bundle.manifest.allow_repeat:
        exclude = np.union1d(exclude, history.rows)
    attributes, end = recommender.bundle.histories.query_attributes(user_id, {}), split.end(fold)
    query = Query(known, k, now, user_id, exclude=exclude, seed=seed, shown_at=end, attributes=attributes)
    found = recommender.recommend(query)
    if found.degraded:
        raise RecsysError(
            f"variant {recommender.variant!r}: {', '.join(found.failed)} failed for user {user_id!r}; "
            "metrics without it would be wrong; fix the cause, which is in the log above, and run `dvc repro` again"
        )
    return found


def newest(history: History, known_items: int) -> History:
    """Return the newest part of the history that has `known_items` different liked items, or all if it has fewer."""
    if known_items == 0:
        return EMPTY_HISTORY
    liked = np.flatnonzero(history.weights > 0)[::-1]
    _, places = np.unique(history.rows[liked], return_index=True)
    if len(places) < known_items:
        return history
    start = liked[np.sort(places)[known_items - 1]]
    return History(history.rows[start:], history.weights[start:], history.times[start:])


def recommend_all(
    recommender: Recommender,
    split: Split,
    sample: Sample,
    segments: list[Segment],
    k: int,
    seed: int,
    plain: list[tuple[int, tuple[Slot, ...]]] | None = None,
) -> dict[QueryMode, IntArray]:
    """Return query mode -> (n_users, k) int32 item rows, best first, padded with -1, for the modes of the segments. A
    user who is in no segment with this query mode has a row of only -1. plain: gets the slots of the mode `PLAIN`, with
    the position of the user in the sample."""
    found = {}
    for mode in dict.fromkeys(segment.mode for segment in segments):
        asked = [segment.counted(sample) for segment in segments if segment.mode == mode]
        exclude = np.flatnonzero(~sample.arrived).astype(np.int32) if mode.arrived_only else NO_ROWS
        rows = np.full((len(sample.users), k), -1, dtype=np.int32)
        for at in np.flatnonzero(np.any(asked, axis=0)).tolist():
            user, known = int(sample.users[at]), mode.known_items
            slots = recommend_offline(recommender, split, sample.fold, user, k, seed, known, exclude).slots
            rows[at, : len(slots)] = [slot.row for slot in slots]
            if plain is not None and mode == PLAIN:
                plain.append((at, slots))
        found[mode] = rows
    return found


def of_variants(
    work: Callable[[Bundle, Split, str], T],
    bundle: Path,
    split: Path,
    variants: Iterable[str],
    each: Callable[..., Iterator[T]] = map,
) -> dict[str, T]:
    """Return variant -> result of `work`. bundle, split: their folders, which every process opens; each: `map`, or like
    it with several processes, see `recsys/processes.py`."""
    names = list(variants)
    first_last = names[::-1]  # variants with many sources take longest and come last in params.yaml: start with them
    found = dict(zip(first_last, each(partial(_of_variant, work, bundle, split), first_last), strict=True))
    return {name: found[name] for name in names}


def _of_variant(work: Callable[[Bundle, Split, str], T], bundle: Path, split: Path, variant: str) -> T:
    with threadpool_limits(1):  # arrays are small: threads only wait
        return work(*_opened(bundle, split), variant)


@lru_cache(1)
def _opened(bundle: Path, split: Path) -> tuple[Bundle, Split]:
    return bundles.load(bundle), splits.load(split)
