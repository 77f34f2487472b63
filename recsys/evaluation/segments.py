"""Segments of an evaluation: which users and targets are included, and how the recommender is queried for them.

Metrics by segment show what an average hides. To add a segment, extend `_by_history` or `_by_target`, and `names`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.bundle.catalogue import FEW_LIKES
from recsys.contracts import BoolArray
from recsys.errors import DataError
from recsys.evaluation.sample import Sample
from recsys.params import EvaluateParams

NEW_USER = "new_user_"
VALUES = 8  # most frequent values of an attribute that get a segment
AGES = 4  # parts of the window, with a segment each, by age of the model


@dataclass(frozen=True)
class QueryMode:
    """How the recommender is queried; by default with the whole history, for all items. known_items: use only the
    newest part of the history, with this many liked items; arrived_only: recommend only items whose first event is in
    the scored window."""

    known_items: int | None = None
    arrived_only: bool = False


PLAIN = QueryMode()


@dataclass(frozen=True)
class Segment:
    """A part of the evaluation. users: (n_users,) bool, included users; targets: (n_targets,) bool, included targets.
    meaning: description for the report; mode: how the recommender is queried."""

    name: str
    meaning: str
    users: BoolArray
    targets: BoolArray
    mode: QueryMode = PLAIN

    def counted(self, sample: Sample) -> BoolArray:
        """Return (n_users,) bool: users of the segment with at least one included target; only these are measured."""
        counted: BoolArray = self.users & (sample.targets.keep(self.targets).lengths > 0)
        return counted


def everyone(sample: Sample) -> Segment:
    """All users, all targets."""
    return _of_users(sample, "all", "everyone", np.ones(len(sample.users), dtype=np.bool_))


def by_attribute(sample: Sample, users: pl.DataFrame, attribute: str) -> list[Segment]:
    """Return a segment of users for each of the most frequent values of one attribute, one for all other values, and
    one for the users without the attribute. users: the table of a split. A value is cut to 40 characters.

    Raises:
        DataError: "segment_users_by: no user has the attribute 'contry': correct it in params.yaml, or add it to users"
    """
    texts = users["attributes"] if "attributes" in users.columns else pl.Series([None] * users.height, dtype=pl.String)
    values = texts.str.json_path_match(f"$['{attribute}']").str.replace_all(r"\s+", " ").str.slice(0, 40)
    if not values.count():
        raise DataError(
            f"segment_users_by: no user has the attribute {attribute!r}: correct it in params.yaml, or add it to users"
        )
    mine = values.gather(sample.users).alias("value")
    counts = mine.drop_nulls().value_counts().sort("count", "value", descending=[True, False])
    often = counts["value"][:VALUES]
    parts = {f"{attribute}={value}": mine == value for value in often}
    parts |= {f"{attribute}: other": ~mine.is_in(often.implode()), f"{attribute}: unknown": mine.is_null()}
    return [
        _of_users(sample, name, f"by their attribute {attribute}", rows.fill_null(False).to_numpy())
        for name, rows in parts.items()
    ]


def build(
    sample: Sample, settings: EvaluateParams, users: pl.DataFrame | None = None, attribute: str | None = None
) -> list[Segment]:
    """Return all segments, `all` first, those of `by_attribute` last if an attribute is named."""
    parts = [everyone(sample), *_by_history(sample, settings), *_by_target(sample)]
    return parts if users is None or attribute is None else parts + by_attribute(sample, users, attribute)


def names(settings: EvaluateParams) -> list[str]:
    """Return the names of the segments that `build` makes without an attribute, in that order."""
    new_users = [f"{NEW_USER}{known_items}" for known_items in settings.new_user_items]
    ages = [f"age_{part}" for part in range(1, AGES + 1)]
    of_users, of_items = ["all", "warm", "few", "cold_user", "dormant"], ["known_item", "new_item"]
    return [*of_users, *new_users, "repeat", "first", *ages, *of_items, "cold_item", "cold_item_only"]


def _by_history(sample: Sample, settings: EvaluateParams) -> list[Segment]:
    """Return the segments of users by their events. New users are simulated: the query has only the newest liked items
    of a user with enough of them, as the few events of a new user are recent. All these segments have the same users
    and targets, so that results for different numbers of known items can be compared."""
    n_events, warm, days = sample.histories.lengths, settings.warm_events, settings.dormant_days
    least = max(settings.new_user_items)
    parts = [
        _of_users(sample, "warm", f"{warm} known events or more", n_events >= warm),
        _of_users(sample, "few", f"1 to {warm - 1} known events", (n_events > 0) & (n_events < warm)),
        _of_users(sample, "cold_user", "no known event", n_events == 0),
        _of_users(sample, "dormant", f"no event for {days:g} days", sample.idle_days > days),
    ]
    for known in settings.new_user_items:
        name, meaning = (
            f"{NEW_USER}{known}",
            f"{least} liked items or more, of which the query has only the last {known}",
        )
        parts.append(_of_users(sample, name, meaning, sample.liked >= least, QueryMode(known_items=known)))
    return parts


def _by_target(sample: Sample) -> list[Segment]:
    """Return the segments of targets: those in the user's history, and others; by the quarter of the window in which
    they were chosen, to measure the model at that age; of known, new and arriving items. Without any target that is in
    a history, the first two are empty."""
    width, rows = len(sample.known_events), sample.targets.rows
    before = sample.histories.owners * width + sample.histories.rows
    repeats = np.isin(sample.targets.owners * width + rows, before)
    first = ~repeats if repeats.any() else repeats
    parts = [
        _of_targets(sample, "repeat", "only items the user had before", repeats),
        _of_targets(sample, "first", "only items new to the user", first),
    ]
    for part in range(1, AGES + 1):
        begin, end = (part - 1) / AGES, part / AGES
        ages = f"{begin * sample.window_days:.3g} to {end * sample.window_days:.3g}"
        chosen = (sample.age >= begin) & ((sample.age < end) | (part == AGES))
        meaning = f"only what was chosen {ages} days after the model was fitted"
        parts.append(_of_targets(sample, f"age_{part}", meaning, chosen))
    new, arrived, only = sample.new[rows], sample.arrived[rows], QueryMode(arrived_only=True)
    known = f"only items that more than {FEW_LIKES} users liked count"
    return [
        *parts,
        _of_targets(sample, "known_item", known, ~new),
        _of_targets(sample, "new_item", f"only those that at most {FEW_LIKES} users liked", new),
        _of_targets(sample, "cold_item", "only items that arrive in the window count", arrived),
        _of_targets(sample, "cold_item_only", "the same, ranked among these items only", arrived, only),
    ]


def _of_users(sample: Sample, name: str, meaning: str, users: BoolArray, mode: QueryMode = PLAIN) -> Segment:
    return Segment(name, meaning, users, np.ones(len(sample.targets.rows), dtype=np.bool_), mode)


def _of_targets(sample: Sample, name: str, meaning: str, targets: BoolArray, mode: QueryMode = PLAIN) -> Segment:
    return Segment(name, meaning, np.ones(len(sample.users), dtype=np.bool_), targets, mode)
