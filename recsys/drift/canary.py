"""Judges a bundle before it serves everybody: by a replay of recorded requests, then by the clicks on its answers.

The replay takes the persons (users and visitors) of the newest recorded requests, hides the item that each liked last,
and asks both the candidate and the current release for a list. The candidate is refused if it recommends the hidden
items significantly less often. While it is a canary, its shares of answers with a click and with a fallback are
compared with those of the current release by an always-valid test, which may be repeated at any time.

Source: sign test, Dixon and Mood 1946; always-valid test: `recsys/experiments/analysis/sequential.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb, sqrt
from time import perf_counter
from typing import NamedTuple

import numpy as np
import polars as pl

from recsys.bundle.bundle import Bundle
from recsys.contracts import History, Query
from recsys.drift import recorded, reference
from recsys.drift.features import Answer
from recsys.drift.recorded import Recorded, StoredEvent
from recsys.experiments.analysis import sequential
from recsys.recommend.recommender import Recommender

PERSONS, PLACES, LEVEL = 500, 10, 0.01
SLOWER, SLOW_MS = 3.0, 50.0
MARGIN = 0.1  # tolerated loss of hits, as a share, as in the gate's floors: newer data change lists a little
FEWEST = 100  # answers of each side, before they are compared
FALLBACK, LATENCY_MS = 0.05, 100.0  # limits of a canary: additional share of fallback answers; p99


@dataclass(frozen=True)
class Replay:
    """The comparison of candidate and current release on the same persons. Fields with `_before`: the current release.

    overlap: mean share of equal items in both lists; hits: of the persons with a hidden item, the share whose list has
    it; confidence: mean over the slots; ms: median time of a list; known_items: share of the items recommended by the
    current release that the candidate has; refused: the reason to refuse the candidate, or None.
    """

    persons: int
    overlap: float
    hits: float
    hits_before: float
    confidence: float | None
    confidence_before: float | None
    ms: float
    ms_before: float
    known_items: float
    refused: str | None

    def __str__(self) -> str:
        sure = (
            "" if self.confidence is None else f", confidence {self.confidence:.3f} ({self.confidence_before or 0:.3f})"
        )
        return (
            f"{self.persons} persons: lists share {self.overlap:.0%}, hidden items found {self.hits:.1%}"
            f" ({self.hits_before:.1%} by the current release){sure}, {self.ms:.1f} ms ({self.ms_before:.1f}),"
            f" {self.known_items:.0%} of its items are in the candidate"
        )


def replay(
    candidate: Bundle, current: Bundle, persons: Mapping[str, Mapping[str, str]], events: Sequence[StoredEvent]
) -> Replay:
    """Compare the lists of both bundles for these persons. persons: person -> attributes that the newest request named;
    events: of any persons in the store, newest first."""
    of_person: dict[str, list[StoredEvent]] = {}
    for deed in events:
        of_person.setdefault(deed.person, []).append(deed)
    bundles = candidate, current
    lists: tuple[list[Answer], list[Answer]] = ([], [])
    ms: tuple[list[float], list[float]] = ([], [])
    found: list[tuple[bool, bool]] = []
    shared: list[float] = []
    recommenders = [Recommender(bundle) for bundle in bundles]
    for person, said in list(persons.items())[:PERSONS]:
        hidden = _hidden(current, recorded.history(current, person, of_person.get(person, [])))
        shown = []
        for at, bundle in enumerate(bundles):
            known = _without(bundle, recorded.history(bundle, person, of_person.get(person, [])), hidden)
            now = max([bundle.manifest.trained_until.timestamp(), *known.times[-1:]])  # as the API asks
            told = bundle.histories.query_attributes(recorded.user_of(person), said)
            asked = Query(known, PLACES, now, person[2:], attributes=told)
            began = perf_counter()
            slate = recommenders[at].recommend(asked)
            ms[at].append((perf_counter() - began) * 1e3)
            shown.append([bundle.catalogue.ids.external_id(slot.row) for slot in slate.slots])
            lists[at].append(reference.of_slate(bundle, person, slate))
        shared.append(len({*shown[0]} & {*shown[1]}) / max(1, len(shown[1])))
        if hidden is not None:
            found.append((hidden in shown[0], hidden in shown[1]))
    ids = [current.catalogue.ids.external_id(int(row)) for answer in lists[1] for row in answer.rows]
    there = [candidate.catalogue.ids.position(item_id) is not None for item_id in ids]
    confidences = ([one for answer in side for one in answer.confidences if one == one] for side in lists)
    sure, sure_before = (float(np.mean(values)) if values else None for values in confidences)
    hits, before = ((sum(pair[at] for pair in found) / max(1, len(found))) for at in (0, 1))
    done = Replay(
        persons=len(shared),
        overlap=float(np.mean(shared or [1.0])),
        hits=hits,
        hits_before=before,
        confidence=sure,
        confidence_before=sure_before,
        ms=float(np.median(ms[0] or [0.0])),
        ms_before=float(np.median(ms[1] or [0.0])),
        known_items=float(np.mean([float(one) for one in there] or [1.0])),
        refused=None,
    )
    return replace(done, refused=_refusal(done, found, candidate, current))


def _hidden(bundle: Bundle, known: History) -> str | None:
    """Return the id of the newest item that the person liked; None unless the person liked another one as well."""
    liked = known.rows[known.weights > 0]
    if len(liked) < 2 or (liked == liked[-1]).all():
        return None
    return bundle.catalogue.ids.external_id(int(liked[-1]))


def _without(bundle: Bundle, known: History, item_id: str | None) -> History:
    row = None if item_id is None else bundle.catalogue.ids.position(item_id)
    kept = known.rows != (-1 if row is None else row)
    return History(known.rows[kept], known.weights[kept], known.times[kept])


def _refusal(done: Replay, found: list[tuple[bool, bool]], candidate: Bundle, current: Bundle) -> str | None:
    lost, won = (sum(mine != theirs and theirs is side for mine, theirs in found) for side in (True, False))
    worse = sum(comb(lost + won, n) for n in range(lost, lost + won + 1)) / 2 ** (lost + won)
    until, before = candidate.manifest.trained_until, current.manifest.trained_until
    price = _price_change(candidate, current)
    checks = [
        (not 0.5 <= price <= 2, f"its prices are {price:.3g} times those of the current release, expected 0.5 to 2"),
        (done.known_items < 0.5, f"it has {done.known_items:.0%} of the items that the current release recommends"),
        (until < before, f"it was trained until {until:%Y-%m-%d}, the current release until {before:%Y-%m-%d}"),
        (
            worse < LEVEL and done.hits < (1 - MARGIN) * done.hits_before,
            f"it recommends the hidden newest item (liked last) to {done.hits:.1%} of the persons,"
            f" the current release to {done.hits_before:.1%} (p = {worse:.1g})",
        ),
        (
            done.ms > max(SLOW_MS, SLOWER * done.ms_before),
            f"its lists take {done.ms:.0f} ms, those of the current release {done.ms_before:.0f} ms",
        ),
    ]
    return next((reason for refused, reason in checks if refused), None)


def _price_change(candidate: Bundle, current: Bundle) -> float:
    """Return the median over items of the candidate's price / the current price; 1 if no item has both."""
    frames = [one.catalogue.frame for one in (candidate, current)]
    if not all("price" in frame.columns for frame in frames):
        return 1.0
    new, old = (frame.select("item_id", pl.col("price").cast(pl.Float64)).drop_nulls() for frame in frames)
    both = old.filter(pl.col("price") > 0).join(new, on="item_id", suffix="_new")
    return float(np.median(both["price_new"] / both["price"])) if both.height else 1.0


@dataclass(frozen=True)
class Verdict:
    """The verdict on a canary. action: "wait", "go on" (to a larger share) or "abort"; why: the reason."""

    action: str
    why: str


def judge(
    canary: Sequence[Recorded], current: Sequence[Recorded], clicked: Mapping[str, object], least: int, alpha: float
) -> Verdict:
    """Compare the live answers of a canary with those of the current release in the same period.

    clicked: its keys are the request ids of answers that were followed by a click; least: number of answers required
    before the next step; alpha: level of the test.
    """
    n = len(canary)
    clicks = _shares(canary, current, lambda one: one.request_id in clicked)
    fallback = _shares(canary, current, lambda one: bool(one.context.get("fallback")))
    p99 = float(np.quantile([float(answer.context.get("latency_ms") or 0.0) for answer in canary] or [0.0], 0.99))
    said = f"{n} answers, {clicks.canary:.2%} clicked against {clicks.current:.2%}, fallback {fallback.canary:.1%}, "
    said += f"p99 {p99:.0f} ms"
    both = min(n, len(current)) >= FEWEST  # at a share of 100 % the current release has only a few late answers

    def differ(shares: Shares) -> bool:  # two tests share the level
        difference = shares.canary - shares.current
        return sequential.p_value(difference, shares.error, n, alpha, max(n, least)) <= alpha / 2

    if both and fallback.canary > fallback.current + FALLBACK and differ(fallback):
        why = f"fallback in {fallback.canary:.1%} of the answers against {fallback.current:.1%}"
        return Verdict("abort", f"{why}; {said}")
    if n >= FEWEST and p99 > LATENCY_MS:
        return Verdict("abort", f"p99 above {LATENCY_MS:.0f} ms; {said}")
    if both and clicks.canary < clicks.current and differ(clicks):
        return Verdict("abort", f"significantly fewer clicks (always-valid, {alpha:.0%}); {said}")
    return Verdict("go on" if n >= least else "wait", said)


class Shares(NamedTuple):
    """A share of the answers of the canary and of the current release, and the standard error of the difference."""

    canary: float
    current: float
    error: float


def _shares(canary: Sequence[Recorded], current: Sequence[Recorded], counts: Callable[[Recorded], bool]) -> Shares:
    """Return the shares of the answers for which `counts` is true. The standard error is that under equal shares, by
    person, as answers of one person are not independent."""
    sides = []
    for answers in (canary, current):
        persons = {person: at for at, person in enumerate(dict.fromkeys(answer.person for answer in answers))}
        who = np.array([persons[answer.person] for answer in answers], dtype=np.int64)
        sides.append((np.bincount(who), np.bincount(who, [counts(answer) for answer in answers])))
    n = [max(float(asked.sum()), 1.0) for asked, _ in sides]
    share = float(sum(hits.sum() for _, hits in sides)) / sum(n)
    variance = sum(float(((hits - share * asked) ** 2).sum()) / n[at] ** 2 for at, (asked, hits) in enumerate(sides))
    return Shares(float(sides[0][1].sum()) / n[0], float(sides[1][1].sum()) / n[1], sqrt(variance))
