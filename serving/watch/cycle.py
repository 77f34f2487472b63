"""One check of a store: drift of the answers against the reference that was stored with the release, drift of a window
of time against earlier ones, outcomes since the promotion, and the canary. `actions.py` acts on its findings.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from prometheus_client import Gauge

from recsys.bundle import bundle as bundles
from recsys.bundle import releases
from recsys.bundle.bundle import Bundle
from recsys.bundle.releases import State
from recsys.contracts import SECONDS_PER_DAY
from recsys.drift import canary, permutation, promotion, recorded, reference
from recsys.drift.features import KINDS, Features, tally
from recsys.drift.policies import Kind, Policies
from recsys.drift.recorded import Recorded, StoredEvent
from serving.watch import outcomes

DELAY_S = 1800.0  # seconds after an answer until its outcome is assumed to be complete
EARLIER = 3  # number of earlier windows that the last one is compared with
FIRST_LOOK = 200  # a new release is tested at this number of answers, then at each doubling
P = Gauge("recsys_watch_drift_p", "p-value of a drift test", ["kind", "feature"])
MOVED = Gauge(
    "recsys_watch_drift_moved", "Share of values that differ between the compared samples", ["kind", "feature"]
)
RETRAINED = Gauge("recsys_retrained_timestamp_seconds", "When the last retraining ended")
RETRAIN_CODE = Gauge("recsys_retrain_code", "Exit code of the last retraining: 0 released, 4 nothing new, else failed")
LOOKED = Gauge("recsys_watch_looked_timestamp_seconds", "When the last check ended")


@dataclass(frozen=True)
class Finding:
    """A change or fault that a check found. what: its description; once: its id, the same at every check that finds it
    again, so that it is stored once."""

    kind: Kind
    what: str
    bundle_id: str
    once: str


class Watcher:
    """Checks one store. store: its URL; folder: the releases."""

    def __init__(self, store: str, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._current: tuple[Bundle, reference.Reference | None] | None = None
        self._window = -1
        self._tested: set[str] = set()

    def check(self, policies: Policies, now: float | None = None) -> list[Finding]:
        """Return the findings of a check. now: UTC seconds, by default the present.

        Raises:
            RecsysError: the store or the releases cannot be read.
        """
        now = time.time() if now is None else now
        if (last := releases.retrained(self._folder)) is not None:
            RETRAINED.set(last[0])
            RETRAIN_CODE.set(last[1])
        state = releases.read(self._folder)
        if not state.stack:
            return []
        bundle_id, length = state.stack[-1], policies.hours * 3600
        bundle, own = self._opened(bundle_id)
        since = max((entry.at.timestamp() for entry in state.log if entry.bundle_id == bundle_id), default=0.0)
        answers = recorded.answers(self._store, now - length - DELAY_S, now)
        events = recorded.events(self._store, now - length - DELAY_S, now)
        outcomes.show([one for one in answers if one.timestamp < now - DELAY_S], events)
        mine = [one for one in answers if one.bundle_id == bundle_id and one.timestamp >= since]
        found = self._promoted(bundle, state.stack)
        if own is not None:
            found += self._model(mine, bundle, own, state, policies)
        found += self._weeks(bundle, policies, now)
        if state.canary is None:
            before = [one for one in answers if one.bundle_id != bundle_id and one.timestamp < since]
            judged = canary.judge(mine, before, _clicked(events), policies.canary.least, policies.level)
            if judged.action == "abort":
                why, once = f"since the promotion: {judged.why}", f"outcomes/{bundle_id}/promotion"
                found.append(Finding("outcomes", why, bundle_id, once))
        LOOKED.set(now)
        return found

    def canary(self, policies: Policies) -> canary.Verdict | None:
        """Judge the canary by its answers and the current release's since its share was last raised; None without a
        canary."""
        now, state = time.time(), releases.read(self._folder)
        if state.canary is None:
            return None
        since = state.canary.since.timestamp()
        answers, events = recorded.answers(self._store, since, now), recorded.events(self._store, since, now)
        mine = [one for one in answers if one.bundle_id == state.canary.bundle_id]
        theirs = [one for one in answers if one.bundle_id == state.stack[-1]]
        steps = policies.canary
        judged = canary.judge(mine, theirs, _clicked(events), steps.least, steps.alpha)
        early = judged.action == "go on" and now - since < steps.hours * 3600
        return canary.Verdict("wait", judged.why) if early else judged

    def _opened(self, bundle_id: str) -> tuple[Bundle, reference.Reference | None]:
        if self._current is None or self._current[0].manifest.bundle_id != bundle_id:
            folder = self._folder / bundle_id
            self._current = bundles.load(folder), reference.load(folder)
        return self._current

    def _model(
        self, mine: Sequence[Recorded], bundle: Bundle, own: reference.Reference, state: State, policies: Policies
    ) -> list[Finding]:
        """Compare the answers with those of the release before, or with the reference, at 200, 400, 800, ...; the tests
        share the level.
        """
        shown = _comparable(mine, bundle, own.variant)
        number = int(np.log2(len(shown) / FIRST_LOOK)) if len(shown) >= FIRST_LOOK else -1
        look = f"{bundle.manifest.bundle_id}/{number}"
        if number < 0 or look in self._tested:
            return []
        self._tested.add(look)
        level = policies.level / ((number + 1) * (number + 2))
        once = [recorded.as_answer(bundle, one) for one in _one_each(shown)]
        drifted = reference.drift(bundle, own, once, level, self._earlier(state, bundle, own.variant, shown))
        return _findings(drifted, KINDS, bundle, look, policies)

    def _earlier(
        self, state: State, bundle: Bundle, variant: str, shown: Sequence[Recorded]
    ) -> reference.Earlier | None:
        """Return as many answers of the release before as `shown` has of `bundle`; None if there are not half as many.

        They are those nearest to the median age of `shown`, in seconds since the training, for which histories grow.
        """
        folder = self._folder / state.stack[-2] if len(state.stack) > 1 else None
        own = reference.load(folder) if folder is not None else None
        if folder is None or own is None or own.variant != variant:
            return None
        before = bundles.load(folder)
        since, now = (each.manifest.trained_until.timestamp() for each in (before, bundle))
        age = float(np.median([one.timestamp for one in shown])) - now
        answers = recorded.answers(self._store, since, shown[0].timestamp)
        mine = _comparable([one for one in answers if one.bundle_id == folder.name], before, variant)
        near = sorted(mine, key=lambda one: abs(one.timestamp - since - age))[: len(shown)]
        near.sort(key=lambda one: one.timestamp, reverse=True)
        return reference.Earlier(before, own, _one_each(near)) if 2 * len(near) >= len(shown) else None

    def _promoted(self, bundle: Bundle, stack: Sequence[str]) -> list[Finding]:
        """Compare a new release with the one before on recorded requests, as `releases promote --canary` does."""
        if len(stack) < 2 or stack[-1] in self._tested:
            return []
        before = bundles.load(self._folder / stack[-2])
        found = promotion.replayed(bundle, before, self._store)
        self._tested.add(stack[-1])
        what = f"{found.refused} ({found})"
        return [Finding("model", what, stack[-1], f"model/{stack[-1]}/promoted")] if found.refused else []

    def _weeks(self, bundle: Bundle, policies: Policies, now: float) -> list[Finding]:
        """Compare the last whole window with the same hours of earlier weeks; if these are empty, of earlier days."""
        length = policies.hours * 3600
        number = int((now - DELAY_S) // length)
        if number == self._window:
            return []
        self._window = number
        day, week = (max(1, round(days * SECONDS_PER_DAY / length)) for days in (1, 7))
        for step in (week, day):
            windows = [self._read((number - 1 - step * at) * length, length) for at in range(EARLIER, -1, -1)]
            windows = [window for window in windows[:-1] if window[0]] + windows[-1:]
            if len(windows) > 1 and windows[-1][0]:
                break
        else:
            return []
        persons: dict[str, int] = {}
        parts = [_counts(bundle, answers, events, persons) for answers, events in windows]
        counts = {name: np.vstack([part[0][name] for part in parts]) for name in parts[0][0]}
        time_of = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
        person = np.concatenate([part[1] for part in parts])
        drifted = permutation.compare(counts, person, time_of, policies.level)
        attributes = {name: "requests" for name in counts if name.startswith(ATTRIBUTE)}
        return _findings(drifted, WINDOW_KINDS | attributes, bundle, f"window {number}", policies)

    def _read(self, since: float, length: float) -> tuple[list[Recorded], list[StoredEvent]]:
        answers = recorded.answers(self._store, since, since + length)
        return answers, recorded.events(self._store, since, since + length + DELAY_S)


def _comparable(answers: Sequence[Recorded], bundle: Bundle, variant: str) -> list[Recorded]:
    """Return the answers of a variant to users whose history is in the bundle, as those of its reference are."""
    return [
        one for one in answers
        if one.variant == variant and not one.context.get("degraded") and len(recorded.history(bundle, one.person, []))
    ]  # fmt: skip


def _one_each(answers: Sequence[Recorded]) -> list[Recorded]:
    """Return the oldest answer of each person. answers: newest first."""
    return list({one.person: one for one in answers}.values())


def _clicked(events: Sequence[StoredEvent]) -> dict[str, bool]:
    return {event.request_id: True for event in events if event.request_id is not None and event.event == "click"}


def _findings(
    drifted: Sequence[permutation.FeatureShift], kinds: Mapping[str, str], bundle: Bundle, once: str, policies: Policies
) -> list[Finding]:
    """Set the metrics of the drift tests; return a finding for each kind with a feature that drifted far enough. kinds:
    kind by feature, else "items"."""
    found: list[Finding] = []
    for kind in get_args(Kind):
        some = [one for one in drifted if kinds.get(one.feature, "items") == kind]
        for one in some:
            P.labels(kind, one.feature).set(one.p)
            MOVED.labels(kind, one.feature).set(one.moved)
        if far := [one for one in some if one.alarm and one.moved >= policies.of(kind).moved]:
            what = ", ".join(f"{one.feature} moved by {one.moved:.1%} (p = {one.p:.2g})" for one in far)
            found.append(Finding(kind, what, bundle.manifest.bundle_id, f"{kind}/{once}"))
    return found


SURFACES, AMOUNTS = 20, np.array([0.01, 1, 3, 10, 30, 100, 300, 1000])
DELAYS = np.array([60, 600, 3_600, 6 * 3_600, 86_400])  # seconds between an event by its client's clock and its arrival
ARMS, VALUES, ATTRIBUTE = 32, 32, "attribute "
SEGMENTS = ("cold_user", "few", "warm")
WINDOW_KINDS = {
    "surface": "requests", "segment": "requests", "outcome": "outcomes", "arm": "outcomes",
    "event": "events", "item": "events", "amount": "events", "delay": "events",
}  # fmt: skip
EVENTS = ("view", "click", "cart", "purchase", "return", "rating", "dislike")


def _counts(
    bundle: Bundle, answers: Sequence[Recorded], events: Sequence[StoredEvent], persons: dict[str, int]
) -> tuple[dict[str, permutation.Counts], permutation.Ints]:
    """Return feature -> (n_persons, n_bins) counts, and the number of each person; `persons` maps them, and grows."""
    here = {
        person: at
        for at, person in enumerate(dict.fromkeys([*(one.person for one in answers), *(one.person for one in events)]))
    }
    named = outcomes.by_request(events)
    asked = np.array([here[one.person] for one in answers], dtype=np.int64)
    acted = np.array([here[one.person] for one in events], dtype=np.int64)
    values = [one.value for one in events if one.value is not None]  # most events, such as clicks, have none
    paid = np.array([here[one.person] for one in events if one.value is not None], dtype=np.int64)
    category = Features(bundle, np.arange(9.0)).category
    rows = [bundle.catalogue.ids.position(one.item_id) for one in events]
    kinds = [outcomes.kind_of(named.get(one.request_id, [])) for one in answers]
    # by arm, to find one that loses events; 0: no experiment
    named_arms = [one.context.get("arm") for one in answers]
    arms = [0 if arm is None else 1 + _bin(str(arm), ARMS - 1) for arm in named_arms]
    bins = {
        "surface": (asked, [_bin(one.surface, SURFACES) for one in answers], SURFACES),
        "segment": (asked, [_place(SEGMENTS, one.segment) for one in answers], len(SEGMENTS) + 1),
        "outcome": (asked, kinds, 4),
        "arm": (asked, [arm * 2 + bool(kind) for arm, kind in zip(arms, kinds, strict=True)], 2 * ARMS),
        "event": (acted, [_place(EVENTS, one.event) for one in events], len(EVENTS) + 1),
        "item": (acted, [len(category) if row is None else int(category[row]) for row in rows], 64),
        "delay": (acted, np.searchsorted(DELAYS, [one.received - one.timestamp for one in events]), len(DELAYS) + 1),
        "amount": (paid, np.searchsorted(AMOUNTS, [abs(value) for value in values]), len(AMOUNTS) + 1),
    }
    bins |= {ATTRIBUTE + name: (asked, of_each, VALUES) for name, of_each in _attributes(bundle, answers).items()}
    counts = {
        name: tally(who, np.clip(np.asarray(each, dtype=np.int64), 0, n - 1), len(here), n)
        for name, (who, each, n) in bins.items()
    }
    return counts, np.array([persons.setdefault(person, len(persons)) for person in here], dtype=np.int64)


def _attributes(bundle: Bundle, answers: Sequence[Recorded]) -> dict[str, list[int]]:
    """Return for each attribute of users the bin of its value in each answer, 0 where it is unknown."""
    told = [bundle.histories.query_attributes(recorded.user_of(one.person), one.said) for one in answers]
    found: dict[str, list[int]] = {}
    for name in bundle.histories.attribute_names:
        found[name] = [0 if name not in each else 1 + _bin(each[name], VALUES - 1) for each in told]
    return found


def _bin(name: str, n: int) -> int:
    """Return the bin of a name, 0 to n - 1, by a hash that is the same in every process."""
    return sum(name.encode()) % n


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)
