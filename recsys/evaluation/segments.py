"""Segments of an evaluation: which users and targets are included, and how the recommender is queried for them.

Metrics by segment show what an average hides. To add a segment write a function that returns a `Segment` of the sample,
and add it to `_makers`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from recsys.bundle.catalogue import FEW_LIKES
from recsys.contracts import BoolArray
from recsys.errors import DataError
from recsys.evaluation.sample import Sample
from recsys.params import EvaluateParams

NEW_USER = "new_user_"
VALUES = 8  # of an attribute
AGES = 4  # parts of the window, each for another age of the model


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
    meaning: description for the report; question: how much of a user's history the query
    holds, and which items it may return."""

    name: str
    meaning: str
    users: BoolArray
    targets: BoolArray
    question: QueryMode = PLAIN

    def counted(self, sample: Sample) -> BoolArray:
        """Return (n_users,) bool: users of the segment with at least one included target; only these are measured."""
        counted: BoolArray = self.users & (sample.targets.keep(self.targets).lengths > 0)
        return counted


def everyone(sample: Sample) -> Segment:
    """All users, all targets."""
    return _of_users(sample, "all", "everyone", np.ones(len(sample.users), dtype=np.bool_))


def warm(sample: Sample, warm_events: int) -> Segment:
    """Users with `evaluate.warm_events` events or more."""
    return _of_users(sample, "warm", f"{warm_events} known events or more", sample.histories.lengths >= warm_events)


def few(sample: Sample, warm_events: int) -> Segment:
    """Users with some events, but fewer than `evaluate.warm_events`."""
    known = sample.histories.lengths
    return _of_users(sample, "few", f"1 to {warm_events - 1} known events", (known > 0) & (known < warm_events))


def cold_user(sample: Sample) -> Segment:
    """Users without any event."""
    return _of_users(sample, "cold_user", "no known event", sample.histories.lengths == 0)


def dormant(sample: Sample, dormant_days: float) -> Segment:
    """Users without an event in the last `evaluate.dormant_days`."""
    return _of_users(sample, "dormant", f"no event for {dormant_days:g} days", sample.idle_days > dormant_days)


def new_user(sample: Sample, known_items: int, least: int) -> Segment:
    """Users with at least `least` liked items, treated as new: the query has only their last `known_items` items. Users
    and targets do not depend on `known_items`, so that results for different numbers can be compared. The last items
    are used, because the few events of a really new user are recent."""
    name, meaning = f"{NEW_USER}{known_items}", f"{least} liked items or more, but only the last {known_items} are told"
    return _of_users(sample, name, meaning, sample.liked >= least, QueryMode(known_items=known_items))


def known_item(sample: Sample) -> Segment:
    """All users; targets are items that are not new."""
    return _of_items(sample, "known_item", f"only items that more than {FEW_LIKES} users liked count", ~sample.new)


def new_item(sample: Sample) -> Segment:
    """All users; targets are new items."""
    return _of_items(sample, "new_item", f"only those that at most {FEW_LIKES} users liked", sample.new)


def repeat(sample: Sample, again: bool) -> Segment:
    """All users; targets that are in the user's history if `again`, else those that are not. If no target is in a
    history, both segments are empty."""
    width = len(sample.known_events)
    before = sample.histories.owners * width + sample.histories.rows
    repeats = np.isin(sample.targets.owners * width + sample.targets.rows, before)
    counted = repeats == again if repeats.any() else np.zeros(len(repeats), dtype=np.bool_)
    name, meaning = ("repeat", "only items the user had before") if again else ("first", "only items new to the user")
    return Segment(name, meaning, np.ones(len(sample.users), dtype=np.bool_), counted)


def aged(sample: Sample, part: int) -> Segment:
    """All users; targets of one quarter of the window, `part` from 1 to 4, to measure the model at that age."""
    begin, end = (part - 1) / AGES, part / AGES
    ages = f"{begin * sample.window_days:.3g} to {end * sample.window_days:.3g}"
    counted = (sample.age >= begin) & ((sample.age < end) | (part == AGES))
    meaning = f"only what was chosen {ages} days after the model was fitted"
    return Segment(f"age_{part}", meaning, np.ones(len(sample.users), dtype=np.bool_), counted)


def cold_item(sample: Sample) -> Segment:
    """All users; targets are items whose first event is in the window; all items are ranked."""
    return _of_items(sample, "cold_item", "only items that arrive in the window count", sample.arrived)


def cold_item_only(sample: Sample) -> Segment:
    """Like `cold_item`, but only items whose first event is in the window are ranked."""
    question = QueryMode(arrived_only=True)
    return _of_items(sample, "cold_item_only", "the same, ranked among these items only", sample.arrived, question)


def by_attribute(sample: Sample, users: pl.DataFrame, attribute: str) -> list[Segment]:
    """Return the users with each of the most frequent values of one attribute, with another one, and without it.
    users: the table of a split. A value is cut to 40 characters.

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
    parts = [make(sample) for make in _makers(settings).values()]
    return parts if users is None or attribute is None else parts + by_attribute(sample, users, attribute)


def names(settings: EvaluateParams) -> list[str]:
    """Return the names of the segments that `build` makes, in that order."""
    return list(_makers(settings))


def _makers(settings: EvaluateParams) -> dict[str, Callable[[Sample], Segment]]:
    def new(known_items: int) -> Callable[[Sample], Segment]:
        return lambda sample: new_user(sample, known_items, max(settings.new_user_items))

    return {
        "all": everyone,
        "warm": lambda sample: warm(sample, settings.warm_events),
        "few": lambda sample: few(sample, settings.warm_events),
        "cold_user": cold_user,
        "dormant": lambda sample: dormant(sample, settings.dormant_days),
        **{f"{NEW_USER}{known_items}": new(known_items) for known_items in settings.new_user_items},
        "repeat": lambda sample: repeat(sample, again=True),
        "first": lambda sample: repeat(sample, again=False),
        **{f"age_{part}": partial(aged, part=part) for part in range(1, AGES + 1)},
        "known_item": known_item,
        "new_item": new_item,
        "cold_item": cold_item,
        "cold_item_only": cold_item_only,
    }


def _of_users(sample: Sample, name: str, meaning: str, users: BoolArray, question: QueryMode = PLAIN) -> Segment:
    return Segment(name, meaning, users, np.ones(len(sample.targets.rows), dtype=np.bool_), question)


def _of_items(sample: Sample, name: str, meaning: str, items: BoolArray, question: QueryMode = PLAIN) -> Segment:
    """Return a segment of all users; items: (n_items,) bool, the items that are targets."""
    everyone = np.ones(len(sample.users), dtype=np.bool_)
    return Segment(name, meaning, everyone, items[sample.targets.rows], question)
