"""The reference of a release: its default variant's answers to the last active users, as counts without ids.

The file reference.json has the variant, the limits between the bins of scores, how many events each user's history has,
and feature -> counts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import Query
from recsys.drift import recorded
from recsys.drift.features import KINDS, PLACES, Answer, Features, Floats, score_edges
from recsys.drift.permutation import Counts, FeatureShift, Ints, compare
from recsys.output import write_text
from recsys.recommend.recommender import Recommender, Slate

PERSONS = 1_000
ALIKE = 0.25  # two histories are about equally long if log(1 + number of events) is in the same step of this width
FILE = "reference.json"


@dataclass(frozen=True)
class Reference:
    """Features of the lists of a bundle when it was made, with which live answers are compared.

    edges: (9,) limits of the bins of scores; lengths: (n_persons,) int64, the number of events in each history; counts:
    feature -> (n_persons, n_bins) float32, the number of items in the list of each person that fall into each bin.
    """

    variant: str
    edges: Floats
    lengths: Ints
    counts: Mapping[str, Counts]


def answers(bundle: Bundle) -> list[Answer]:
    """Return the default variant's list for each of the users with the newest events."""
    recommender, histories = Recommender(bundle), bundle.histories
    found = [(float(one.times[-1]), at) for at in range(len(histories.users)) if len(one := histories.at(at))]
    now, made = bundle.manifest.trained_until.timestamp(), []
    for _, at in sorted(found, reverse=True)[:PERSONS]:
        user_id = histories.users.external_id(at)
        attributes = histories.query_attributes(user_id, {})  # as requests of the user have them
        slate = recommender.recommend(Query(histories.at(at), PLACES, now, user_id, attributes=attributes))
        made.append(of_slate(bundle, str(at), slate))
    return made


def of_slate(bundle: Bundle, person: str, slate: Slate) -> Answer:
    """Return a list of the recommender as input of `Features.count`; person: any id."""
    n_known, slots = len(slate.query.history), slate.slots
    told = bundle.calibration.of(slate.variant, slots, 1, n_known) if bundle.calibration else [None] * len(slots)
    rows = np.array([slot.row for slot in slots], dtype=np.int32)
    confidences = [np.nan if one is None else one for one in told]
    sources = [slot.source for slot in slots]
    return Answer(person, rows, [slot.score for slot in slots], sources, confidences, slate.query.history.rows)


def write(bundle: Bundle, folder: Path) -> None:
    """Write the reference of a bundle, for later drift tests, into `folder`; nothing for a bundle without users."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (made := [answer for answer in answers(bundle) if len(answer.rows)]):
        return
    edges = score_edges(made)
    counts, _ = Features(bundle, edges).count(made)
    content = {
        "variant": bundle.manifest.default_variant,
        "edges": edges.tolist(),
        "lengths": [len(answer.history) for answer in made],
        "counts": {name: each.astype(int).tolist() for name, each in counts.items()},
    }
    write_text(folder / FILE, json.dumps(content) + "\n")


def load(folder: Path) -> Reference | None:
    """Read the reference in `folder`; None for an older bundle without one, or without its `lengths`."""
    content = json.loads((folder / FILE).read_text(encoding="utf-8")) if (folder / FILE).is_file() else {}
    if "lengths" not in content:
        return None
    counts = {name: np.array(each, dtype=np.float32) for name, each in content["counts"].items()}
    return Reference(content["variant"], np.array(content["edges"]), np.array(content["lengths"]), counts)


@dataclass(frozen=True)
class Earlier:
    """The release before, its reference, and recorded answers of it, one for each person."""

    bundle: Bundle
    reference: Reference
    shown: Sequence[recorded.Recorded]


def drift(
    bundle: Bundle, reference: Reference, shown: list[Answer], level: float, earlier: Earlier | None = None
) -> list[FeatureShift]:
    """Compare new answers of the reference's variant, one for each person, with the reference; level: see `compare`.

    Who comes often has a long history, and with it other scores and matches: so the answers are compared with those in
    the reference to persons with about as many events. Rules and short lists make every release differ from its
    reference, and a changed shop makes it differ from the release before. If `earlier` is given, an alarm therefore
    needs both differences. Only the kind "model" is compared with the release before alone: a model that was broken
    before its reference was made agrees with it. Confidences are calibrated anew for each release, and left out then.
    """
    counts, _ = Features(bundle, reference.edges).count(shown)
    mine, theirs = alike(np.array([len(answer.history) for answer in shown]), reference.lengths)
    of_alike = {name: each[theirs] for name, each in reference.counts.items()}
    own = _differences(of_alike, {name: each[mine] for name, each in counts.items()}, level) if len(mine) else []
    if earlier is None:
        return own
    alarms = {one.feature for one in own if one.alarm}
    return [
        one if KINDS.get(one.feature) == "model" else replace(one, alarm=one.alarm and one.feature in alarms)
        for one in _differences(_counts(bundle, earlier), counts, level)
    ]


def alike(lengths: Ints, others: Ints) -> tuple[Ints, Ints]:
    """Return pairs of persons with about equally long histories, everyone in one pair at most: positions in `lengths`
    (n,) and in `others` (m,)."""
    bins = [np.floor(np.log1p(each) / ALIKE) for each in (lengths, others)]
    sides: list[list[Ints]] = [[], []]
    for one in np.intersect1d(bins[0], bins[1]):
        both = [np.flatnonzero(each == one) for each in bins]
        for side, found in zip(sides, both, strict=True):
            side.append(found[: min(map(len, both))])
    mine, theirs = (np.concatenate([np.empty(0, dtype=np.int64), *side]) for side in sides)
    return mine, theirs


def _differences(before: Mapping[str, Counts], now: Mapping[str, Counts], level: float) -> list[FeatureShift]:
    """Compare counts of persons of whom nobody knows who is who."""
    both = {name: np.vstack([was, now[name]]) for name, was in before.items() if was.shape[1] == now[name].shape[1]}
    n_before, n_now = (len(next(iter(side.values()))) for side in (before, now))
    time = np.repeat([0, 1], [n_before, n_now])
    return compare(both, np.full(len(time), -1), time, level)


def _counts(bundle: Bundle, earlier: Earlier) -> Mapping[str, Counts]:
    """Return feature -> counts of the earlier answers, in the bins of their own release; categories and prices in those
    of `bundle`, because each release numbers its categories.
    """
    own = Features(earlier.bundle, earlier.reference.edges)
    found, _ = own.count([recorded.as_answer(earlier.bundle, one) for one in earlier.shown])
    items, _ = Features(bundle, own.edges).count([recorded.as_answer(bundle, one) for one in earlier.shown])
    return {name: counts if name in KINDS else items[name] for name, counts in found.items() if name != "confidence"}
