"""Draws the users of an offline evaluation with their targets and histories; defines those held out from rankers."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_array

from recsys.bundle.catalogue import FEW_LIKES
from recsys.contracts import SECONDS_PER_DAY, BoolArray, IntArray, epoch_seconds
from recsys.data.split import PAIR, WINDOWS, ScoredFold, Split
from recsys.evaluation.metrics import Ragged


@dataclass(frozen=True)
class Sample:
    """Users of one fold who have targets, with the data about users and items that the metrics need.

    users: (n,) int32 user rows, ascending; targets, histories: item rows of each of these users; liked: (n,) int64
    number of different items that the user liked; idle_days: (n,) float64 from the last event to the query time, NaN
    without a history; known_events: (n_items,) int64 events of the item in the fit set; arrived: (n_items,) bool,
    whether the item's first event is in the scored window; popularity: (n_items,) number of users of the fit set who
    liked the item; n_fitted: number of users in the fit set; age: (n_targets,) float64, position in the window, 0 to 1,
    at which the target was first chosen, NaN where windows overlap in time; window_days: length of the window;
    content: (n_items, n_features), see `content`.
    """

    fold: ScoredFold
    users: IntArray
    targets: Ragged
    histories: Ragged
    liked: npt.NDArray[np.int64]
    idle_days: npt.NDArray[np.float64]
    known_events: npt.NDArray[np.int64]
    arrived: BoolArray
    popularity: npt.NDArray[np.float32]
    n_fitted: int
    age: npt.NDArray[np.float64]
    window_days: float
    content: csr_array

    @property
    def new(self) -> BoolArray:
        """(n_items,) bool: new items, which have few likes, see `Catalogue.new`."""
        return self.popularity <= FEW_LIKES


def draw(split: Split, fold: ScoredFold, popularity: npt.NDArray[np.float32], max_users: int, seed: int) -> Sample:
    """Draw at most `max_users` of the users who have targets, uniformly; popularity: (n_items,), as in `Sample`."""
    targets = split.targets(fold)
    users = targets["user_row"].unique().sort().to_numpy()
    if len(users) > max_users:
        users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
    fitted, window = split.fit_rows(fold), split.interactions.filter(pl.col("fold") == WINDOWS[fold])
    known, scored = (
        np.bincount(rows["item_row"].to_numpy(), minlength=split.facts.n_items) for rows in (fitted, window)
    )
    histories = split.histories(fold, users)
    liked = [len(np.unique(history.rows[history.weights > 0])) for history in histories]
    idle = [split.query_now(fold, history) - history.times[-1] if len(history) else np.nan for history in histories]
    return Sample(
        fold=fold,
        users=users,
        targets=_of_users(targets, users),
        histories=_of_users(fitted, users),
        liked=np.array(liked, dtype=np.int64),
        idle_days=np.array(idle) / SECONDS_PER_DAY,
        known_events=known,
        arrived=(known == 0) & (scored > 0),
        popularity=popularity,
        n_fitted=fitted["user_row"].n_unique(),
        age=_age(split, fold, targets.filter(pl.col("user_row").is_in(pl.Series(users).implode()))),
        window_days=((split.end(fold) or np.nan) - split.now(fold)) / SECONDS_PER_DAY,
        content=content(split.catalogue),
    )


def content(catalogue: pl.DataFrame) -> csr_array:
    """Return (n_items, n_features) float64: an item's categories as a vector of unit length, empty for one without any.

    If no item of the catalogue has a category, the words of the titles are used instead.
    """
    features = pl.col("categories")
    if not catalogue["categories"].list.len().sum():
        features = pl.col("title").str.to_lowercase().str.extract_all(r"\w+")
    terms = catalogue.select("row", term=features.list.unique()).explode("term").drop_nulls("term").sort("row", "term")
    columns = terms["term"].rank("dense").cast(pl.Int32).to_numpy() - 1
    counts = np.bincount(terms["row"].to_numpy(), minlength=catalogue.height)
    indptr, values = np.concatenate([[0], np.cumsum(counts)]), np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    return csr_array((values, columns, indptr), shape=(catalogue.height, columns.max(initial=-1) + 1))


def _age(split: Split, fold: ScoredFold, targets: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Return the ages of the targets, see `Sample`; targets: user_row, item_row."""
    begin, end = split.now(fold), split.end(fold)
    if end is None:
        return np.full(targets.height, np.nan)
    wanted = pl.col("event").is_in(split.facts.target_events) & (pl.col("weight") > 0)
    window = split.interactions.filter(pl.col("fold") == WINDOWS[fold], wanted)
    first = window.group_by(PAIR).agg(pl.col("timestamp").min())
    times = epoch_seconds(targets.join(first, on=PAIR, how="left", maintain_order="left")["timestamp"])
    return (times - begin) / max(end - begin, 1e-6)


def _of_users(pairs: pl.DataFrame, users: IntArray) -> Ragged:
    """Return the item rows of each of `users`. pairs: columns user_row, item_row, sorted by user_row."""
    mine = pairs.filter(pl.col("user_row").is_in(pl.Series(users).implode()))
    owners = np.searchsorted(users, mine["user_row"].to_numpy())
    return Ragged.of(owners, mine["item_row"].to_numpy(), len(users))


def ranker_holdout_users(user_ids: Iterable[str]) -> BoolArray:
    """Return (n_users,) bool: True for users held out from training, by a hash of the id: the same ones in each run.

    >>> ranker_holdout_users(["anna", "ben", "cleo"]).tolist()
    [True, True, False]
    """
    return np.array([zlib.crc32(f"held out {user_id}".encode()) % 3 == 0 for user_id in user_ids], dtype=np.bool_)
