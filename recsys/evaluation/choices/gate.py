"""Chooses the variant to release: the best one that is significantly better than the baseline and harms no segment.

The candidates are compared user by user on the test window, which no setting was chosen on: by one-sided paired
t-tests, with Holm's correction over the comparisons of a step, so that chance alone passes a step with probability
`alpha` at most. A comparison in which no user's value differs does not count. `segment`, `improve_in` and `floors` are
settings that name user segments.

1. A candidate is admitted if it is better than `baseline` in `segment`, and not inferior in any of `floors`. Without an
   admitted candidate the baseline is released.
2. The simplest admitted candidate, the first in the settings, is compared with the others. It remains, and so do those
that are significantly better than it in `segment` or in one of the segments `improve_in`. 3. Of these, the ones that
are not inferior to the best in `segment` (by `tolerance`) count as equal there: the one with the best mean over
`segment` and `improve_in` is released.

A floor is a segment in which a candidate must not lose, however good its average is. With enough users, its loss must
be significantly below `margin` of the baseline's value; with fewer, it must not be significantly worse. Enough means
that a candidate equal to the baseline would pass in 19 of 20 cases. One more floor is no segment: the share of new
items in the lists, see `learn_new_items.py`.

Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recsys.errors import GateError
from recsys.evaluation import segments
from recsys.evaluation.choices.new_items import MOST_LOST, Learned
from recsys.evaluation.intervals import Paired, paired
from recsys.output import write_text
from recsys.params import GateParams, Params
from recsys.ranking import Values

FILE = "gate.json"
PASSED = 1.645  # standard errors below its mean that an equal candidate reaches in 19 of 20 cases

PerSegment = Mapping[str, Mapping[str, Values]]  # segment -> variant -> (n_users,) float64, the same users for each


@dataclass(frozen=True)
class Decision:
    """The released variant and the reason in one line. candidates: candidate -> why it was admitted or not.
    without_live: if the variant needs live counts, the variant that answers without them, see `live_choice.py`."""

    variant: str
    reason: str
    candidates: dict[str, str]
    without_live: str | None = None

    def save(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def load(path: Path) -> Decision:
    """Read the decision of the stage `evaluate`.

    Raises:
        GateError: "metrics/gate.json: not a readable decision (...); run `dvc repro evaluate`"
    """
    try:
        return Decision(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise GateError(f"{path}: not a readable decision ({error}); run `dvc repro evaluate`") from error


def applied(params: Params, decision: Decision) -> Params:
    """Return the settings in which the released variant names, in `without_live`, the variant that answers while the
    API has no live counts of events; the same settings if the decision names none."""
    if decision.without_live is None:
        return params
    released = params.variants[decision.variant].model_copy(update={"without_live": decision.without_live})
    return params.model_copy(update={"variants": {**params.variants, decision.variant: released}})


def decide(values: PerSegment, params: Params, new: Learned | None = None) -> Decision:
    """Return the variant to release. values: `gate.metric` by segment and variant; segments without users are absent.

    new: variant -> learned share of slots for new items. A candidate that shows too few new items is refused, unless
    its metric is more than `MOST_LOST` higher than that of every candidate that shows enough.

    Raises:
        GateError: "gate: no segment is called 'vip'; there are: all, warm, ..."
    """
    gate, known = params.gate, segments.names(params.evaluate)
    for segment in [gate.segment, *gate.improve_in, *gate.floors]:
        if segment not in known:
            raise GateError(f"gate: no segment is called {segment!r}; there are: {', '.join(known)}")
    names = [name for name in params.candidates if name != gate.baseline]
    won = _compare(values, names, gate.baseline, [gate.segment], gate.alpha)
    worth = {name: float(each.mean()) for name, each in values.get(gate.segment, {}).items()}
    learned = {name: found for name, found in (new or {}).items() if name in names and name in worth}
    fairest = (1 + MOST_LOST) * max((worth[name] for name, found in learned.items() if found.fair), default=-1.0)
    unfair = {name: str(found) for name, found in learned.items() if not found.fair and worth[name] <= fairest}
    reasons, admitted = {}, []
    for name in names:
        found, p = won[name, gate.segment]
        below = [text for segment in gate.floors if (text := _below(values.get(segment, {}), name, segment, gate))]
        below += [unfair[name]] if name in unfair else []
        if p > gate.alpha:
            reasons[name] = f"{name!r} is not significantly better than {_versus(found, p, gate.baseline, gate)}"
        elif below:
            reasons[name] = f"{name!r} is below {len(below)} of {len(gate.floors) + 1} floors: {'; '.join(below)}"
        else:
            reasons[name] = f"{name!r} is better than {_versus(found, p, gate.baseline, gate)}"
            admitted.append(name)
    if not admitted:
        reason = f"{gate.baseline!r} is released: none of {len(names)} candidates is admitted"
        return Decision(gate.baseline, reason, reasons)
    variant, reason = _best(values, admitted, gate)
    return Decision(variant, reason, reasons)


def _best(values: PerSegment, admitted: list[str], gate: GateParams) -> tuple[str, str]:
    simplest, *later = admitted
    places = [place for place in dict.fromkeys([gate.segment, *gate.improve_in]) if place in values]
    won = _compare(values, later, simplest, places, gate.alpha)
    able = [simplest] + [name for name in later if any(won[name, place][1] <= gate.alpha for place in places)]
    here = values[gate.segment]
    leader = max(able, key=lambda name: float(here[name].mean()))

    def equal(name: str) -> bool:
        found = paired(here[name], here[leader], gate.alpha)
        return name == leader or found.difference - found.reach >= -gate.tolerance * found.other

    def gain(name: str) -> float:
        return sum(float(values[place][name].mean() / (values[place][simplest].mean() or 1.0)) for place in places)

    best = max((name for name in able if equal(name)), key=gain)
    of = f"{best!r} is released: {len(admitted)} of the candidates are admitted, "
    if best == simplest:
        return best, of + "it is the simplest, and " + (
            "no other is significantly better" if able == [simplest] else "none of the better ones has a higher mean"
        )
    place = min(places, key=lambda place: won[best, place][1])
    return best, f"{of}it is the best and better than the simplest, {_versus(*won[best, place], simplest, gate, place)}"


def _compare(
    values: PerSegment, names: list[str], other: str, places: list[str], alpha: float
) -> dict[tuple[str, str], tuple[Paired, float]]:
    """Return (variant, segment) -> comparison with `other`, and p-value after Holm's correction over all of them."""
    nobody = dict.fromkeys([*names, other], np.empty(0))
    found = {
        (name, place): paired(values.get(place, nobody)[name], values.get(place, nobody)[other], alpha)
        for name in names
        for place in places
    }
    differing = sum(each.p < 1 for each in found.values())
    adjusted, largest = {}, 0.0
    for rank, key in enumerate(sorted(found, key=lambda key: found[key].p)):
        largest = max(largest, min(1.0, found[key].p * max(differing - rank, 1)))
        adjusted[key] = largest
    return {key: (found[key], adjusted[key]) for key in found}


def _below(values: Mapping[str, Values], name: str, segment: str, gate: GateParams) -> str | None:
    """Return the reason, with figures, if this floor is not met, else None; a segment without users is met."""
    if not values:
        return None
    found = paired(values[name], values[gate.baseline], gate.alpha)
    margin = gate.margin * found.other
    if found.reach + PASSED * found.error <= margin:
        missed, wanted = found.difference - found.reach < -margin, f"tolerated {-margin:+.4f}"
    else:
        missed, wanted = found.difference + found.reach < 0, "significantly worse"
    return f"{segment!r}: {found}, {wanted}" if missed else None


def _versus(found: Paired, p: float, other: str, gate: GateParams, place: str | None = None) -> str:
    return f"{other!r} on {gate.metric} in segment {place or gate.segment!r}: {found}, p {p:.2g}"
