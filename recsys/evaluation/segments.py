"""Who is measured apart: a segment says which users count, and which of their targets.

An average hides who pays for it. A new segment is one function from the sample to a `Segment`, and its name in `build`.
"""

from dataclasses import dataclass

import numpy as np

from recsys.contracts import BoolArray
from recsys.evaluation.sample import Sample


@dataclass(frozen=True)
class Segment:
    """users: (n_users,) bool, who counts; targets: (n_targets,) bool, what there is to find.

    A user whose targets are all left out does not count either.
    """

    name: str
    meaning: str
    users: BoolArray
    targets: BoolArray


def everyone(sample: Sample) -> Segment:
    """All users, all targets."""
    return _of_users(sample, "all", "everyone", np.ones(len(sample.users), dtype=np.bool_))


def warm(sample: Sample, warm_events: int) -> Segment:
    """Users with a history to learn from."""
    return _of_users(sample, "warm", f"{warm_events} known events or more", sample.histories.lengths >= warm_events)


def few(sample: Sample, warm_events: int) -> Segment:
    """Users seen before, but hardly."""
    known = sample.histories.lengths
    return _of_users(sample, "few", f"1 to {warm_events - 1} known events", (known > 0) & (known < warm_events))


def cold_user(sample: Sample) -> Segment:
    """Users never seen before."""
    return _of_users(sample, "cold_user", "no known event", sample.histories.lengths == 0)


def cold_item(sample: Sample) -> Segment:
    """Everyone, but only items that nobody had touched before count as found, ranked among all items."""
    cold = sample.cold_items[sample.targets.rows]
    everyone = np.ones(len(sample.users), dtype=np.bool_)
    return Segment("cold_item", "only items nobody knew before count", everyone, cold)


def build(sample: Sample, warm_events: int) -> list[Segment]:
    """All segments, `all` first."""
    return [everyone(sample), warm(sample, warm_events), few(sample, warm_events), cold_user(sample), cold_item(sample)]


def _of_users(sample: Sample, name: str, meaning: str, users: BoolArray) -> Segment:
    return Segment(name, meaning, users, np.ones(len(sample.targets.rows), dtype=np.bool_))
