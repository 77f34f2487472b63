"""Picks a few users for the report: their history, their recommendations, and the source of each one."""

from dataclasses import dataclass

import numpy as np

from recsys.bundle.calibration import label
from recsys.data.split import Split
from recsys.evaluation import answers
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import Segment
from recsys.recommend.recommender import Recommender

SHOWN = 10


@dataclass(frozen=True)
class Line:
    """One recommendation; found: whether the user chose the item in the test window."""

    title: str
    source: str
    found: bool


@dataclass(frozen=True)
class Example:
    """One user of a segment. history: titles, newest first, at most `SHOWN`; meaning: description of the segment."""

    user_id: str
    segment: str
    meaning: str
    n_events: int
    n_targets: int
    history: list[str]
    recommended: list[Line]


def some(recommender: Recommender, split: Split, sample: Sample, segments: list[Segment], seed: int) -> list[Example]:
    """Return the history and the recommendations of the users that `pick` draws."""
    titles = [title or item_id for title, item_id in split.catalogue.select("title", "item_id").iter_rows()]
    examples = []
    for segment, at in pick(sample, segments, seed):
        user, targets = int(sample.users[at]), sample.targets.of_user(at)
        history = recommender.bundle.histories.at(user)
        newest = list(dict.fromkeys(history.rows[::-1].tolist()))[:SHOWN]
        slots = answers.recommend_offline(recommender, split, sample.fold, user, SHOWN, seed).slots
        examples.append(
            Example(
                user_id=split.users["user_id"][user],
                segment=segment.name,
                meaning=segment.meaning,
                n_events=len(history),
                n_targets=len(targets),
                history=[titles[row] for row in newest],
                recommended=[
                    Line(titles[slot.row], label(slot.source, slot.fallback), slot.row in targets) for slot in slots
                ],
            )
        )
    return examples


def pick(sample: Sample, segments: list[Segment], seed: int) -> list[tuple[Segment, int]]:
    """Return three random users as (segment, position in the sample), from different segments if there are three.

    Otherwise the remaining users come from the largest segment.
    """
    parts = [segment for segment in segments if 0 < segment.users.sum() < len(sample.users)] or segments[:1]
    rng = np.random.default_rng(seed)
    drawn = [(part, int(rng.choice(np.flatnonzero(part.users)))) for part in parts[:3]]
    fullest = max(parts, key=lambda segment: int(segment.users.sum()))
    others = np.setdiff1d(np.flatnonzero(fullest.users), [at for _, at in drawn])
    return drawn + [(fullest, int(at)) for at in rng.permutation(others)[: 3 - len(drawn)]]
