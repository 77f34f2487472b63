"""The reference of a release: its default variant's answers to the last active users, as counts without ids.

The file reference.json has the variant, the limits between the bins of scores, and feature -> counts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import Query
from recsys.drift import recorded
from recsys.drift.features import KINDS, PLACES, Answer, Features, Floats, score_edges
from recsys.drift.permutation import Counts, FeatureShift, compare
from recsys.output import write_text
from recsys.recommend.recommender import Recommender, Slate

PERSONS = 1_000
FILE = "reference.json"


@dataclass(frozen=True)
class Reference:
    """Features of the lists of a bundle when it was made, with which live answers are compared.

    edges: (9,) limits of the bins of scores; counts: feature -> (n_persons, n_bins) float32, the number of items in the
    list of each person that fall into each bin.
    """

    variant: str
    edges: Floats
    counts: Mapping[str, Counts]


def answers(bundle: Bundle) -> list[Answer]:
    """Return the default variant's list for each of the users with the newest events."""
    recommender, histories = Recommender(bundle), bundle.histories
    found = [(float(one.times[-1]), at) for at in range(len(histories.users)) if len(one := histories.at(at))]
    now, made = bundle.manifest.trained_until.timestamp(), []
    for _, at in sorted(found, reverse=True)[:PERSONS]:
        attributes = histories.attributes(histories.users.external_id(at))  # as requests of the user have them
        slate = recommender.recommend(Query(histories.at(at), PLACES, now, attributes=attributes))
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
        "counts": {name: each.astype(int).tolist() for name, each in counts.items()},
    }
    write_text(folder / FILE, json.dumps(content) + "\n")


def load(folder: Path) -> Reference | None:
    """Read the reference in `folder`; None for an older bundle without one."""
    if not (folder / FILE).is_file():
        return None
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    counts = {name: np.array(each, dtype=np.float32) for name, each in content["counts"].items()}
    return Reference(content["variant"], np.array(content["edges"]), counts)


@dataclass(frozen=True)
class Earlier:
    """The release before, its reference, and recorded answers of it, one for each person."""

    bundle: Bundle
    reference: Reference
    shown: Sequence[recorded.Recorded]


def drift(
    bundle: Bundle, reference: Reference, shown: list[Answer], level: float, earlier: Earlier | None = None
) -> list[FeatureShift]:
    """Compare new answers of the reference's variant, to any persons, with the reference; level: see `compare`.

    Histories grow after training, so the answers of every release differ somewhat from its reference. If `earlier` is
    given, the answers are compared with those of the release before, which differ from their reference as much. Then
    confidences are left out: they are calibrated anew for each release.
    """
    counts, persons = Features(bundle, reference.edges).count(shown)
    before = reference.counts if earlier is None else _counts(bundle, earlier)
    both = {
        name: np.vstack([was, counts[name]]) for name, was in before.items() if was.shape[1] == counts[name].shape[1]
    }
    n_before = len(next(iter(before.values())))
    time = (np.arange(n_before + len(persons)) >= n_before).astype(np.int64)
    return compare(both, np.full(len(time), -1), time, level)


def _counts(bundle: Bundle, earlier: Earlier) -> Mapping[str, Counts]:
    """Return feature -> counts of the earlier answers, in the bins of their own release; categories and prices in those
    of `bundle`, because each release numbers its categories.
    """
    own = Features(earlier.bundle, earlier.reference.edges)
    found, _ = own.count([recorded.as_answer(earlier.bundle, one) for one in earlier.shown])
    items, _ = Features(bundle, own.edges).count([recorded.as_answer(bundle, one) for one in earlier.shown])
    return {name: counts if name in KINDS else items[name] for name, counts in found.items() if name != "confidence"}
