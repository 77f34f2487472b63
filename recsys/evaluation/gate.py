"""What is released: the best variant that is significantly better than the baseline and costs no segment much.

All variants that could serve are compared user by user on the test window, which chose no setting: one-sided paired
t-tests with Holm's correction over all comparisons of a step, so that luck passes a step at most `alpha` of the time.

1. A candidate is admitted if it is better than `baseline` in `segment`, and not inferior in any of `floors`. Without an
   admitted candidate the baseline is released.
2. The simplest admitted candidate stands. A later one may replace it if it is better in `segment` or in `earn_in`.
3. Of these, the ones that are not inferior to the best in `segment` (`tolerance`) count as equal there: the one with
   the best mean over `segment` and `earn_in` is released.

A floor is a segment that a better average must not hide. Where it has enough users, a candidate must be shown to lose
less than `margin` of the baseline's value; where it has not, it must not be significantly worse. Enough: a candidate
that is equal would be passed 19 times of 20.

Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from recsys.errors import GateError
from recsys.evaluation import segments
from recsys.output import write_text
from recsys.params import GateParams, Params
from recsys.ranking import Values

FILE = "gate.json"
PASSED = 1.645  # standard errors between what an equal candidate scores 19 times of 20 and its mean

PerSegment = Mapping[str, Mapping[str, Values]]  # segment -> variant -> (n_users,) float64, the same users for each


@dataclass(frozen=True)
class Decision:
    """variant: what is released; reason: why, in one line; candidates: candidate -> why (not), in one line."""

    variant: str
    reason: str
    candidates: dict[str, str]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")


@dataclass(frozen=True)
class Paired:
    """A variant against another one, user by user; p: of a difference so large by luck; error: standard error."""

    value: float
    other: float
    error: float
    reach: float  # from the difference to each of its confidence bounds
    p: float

    @property
    def difference(self) -> float:
        """How much better the variant is."""
        return self.value - self.other

    def __str__(self) -> str:
        low, high = self.difference - self.reach, self.difference + self.reach
        return (
            f"{self.value:.4f} against {self.other:.4f}, difference {self.difference:+.4f}, "
            f"between {low:+.4f} and {high:+.4f}"
        )


def load(path: Path) -> Decision:
    """Read what `evaluate` decided.

    Raises:
        GateError: "metrics/gate.json: not a readable decision (...); run `dvc repro evaluate`"
    """
    try:
        return Decision(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise GateError(f"{path}: not a readable decision ({error}); run `dvc repro evaluate`") from error


def decide(values: PerSegment, params: Params) -> Decision:
    """Go through the candidates from simple to elaborate. values: `gate.metric`; a segment without users is absent.

    Raises:
        GateError: "gate: no segment is called 'vip'; there are: all, warm, ..."
    """
    gate, known = params.gate, segments.names(params.evaluate)
    for segment in [gate.segment, *gate.earn_in, *gate.floors]:
        if segment not in known:
            raise GateError(f"gate: no segment is called {segment!r}; there are: {', '.join(known)}")
    names = [name for name in params.candidates if name != gate.baseline]
    won = _compare(values, names, gate.baseline, [gate.segment], gate.alpha)
    reasons, admitted = {}, []
    for name in names:
        found, p = won[name, gate.segment]
        below = [text for segment in gate.floors if (text := _below(values.get(segment, {}), name, segment, gate))]
        if p > gate.alpha:
            reasons[name] = f"{name!r} is not significantly better than {_told(found, p, gate.baseline, gate)}"
        elif below:
            reasons[name] = f"{name!r} is below {len(below)} of {len(gate.floors)} floors: {'; '.join(below)}"
        else:
            reasons[name] = f"{name!r} is better than {_told(found, p, gate.baseline, gate)}"
            admitted.append(name)
    if not admitted:
        reason = f"{gate.baseline!r} is released: none of {len(names)} candidates is admitted"
        return Decision(gate.baseline, reason, reasons)
    variant, reason = _best(values, admitted, gate)
    return Decision(variant, reason, reasons)


def _best(values: PerSegment, admitted: list[str], gate: GateParams) -> tuple[str, str]:
    """Which of the admitted candidates is released, and why."""
    simplest, *later = admitted
    places = [place for place in dict.fromkeys([gate.segment, *gate.earn_in]) if place in values]
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
            "no other is significantly better" if able == [simplest] else "in all nothing is better"
        )
    place = min(places, key=lambda place: won[best, place][1])
    return best, f"{of}it is the best and better than the simplest, {_told(*won[best, place], simplest, gate, place)}"


def _compare(
    values: PerSegment, names: list[str], other: str, places: list[str], alpha: float
) -> dict[tuple[str, str], tuple[Paired, float]]:
    """(variant, segment) -> the comparison with `other`, and its p after Holm's correction over all of them."""
    nobody = dict.fromkeys([*names, other], np.empty(0))
    found = {
        (name, place): paired(values.get(place, nobody)[name], values.get(place, nobody)[other], alpha)
        for name in names
        for place in places
    }
    adjusted, largest = {}, 0.0
    for rank, key in enumerate(sorted(found, key=lambda key: found[key].p)):
        largest = max(largest, min(1.0, found[key].p * (len(found) - rank)))
        adjusted[key] = largest
    return {key: (found[key], adjusted[key]) for key in found}


def paired(values: Values, others: Values, alpha: float) -> Paired:
    """Compare two variants on the same users, (n_users,) float64 both; a user without a value does not count.

    >>> found = paired(np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.1, 0.2, 0.3, 0.4]), 0.05)
    >>> round(found.difference, 3), round(found.p, 3)
    (0.25, 0.062)
    """
    both = np.isfinite(values) & np.isfinite(others)
    n, differences = int(both.sum()), (values - others)[both]
    differing = int(np.count_nonzero(differences))
    value, other = (float(of[both].mean()) if n else 0.0 for of in (values, others))
    if n < 2:
        return Paired(value, other, np.inf, np.inf, 1.0)
    error = float(differences.std(ddof=1) / np.sqrt(n))
    reach = float(stats.t.ppf(1 - alpha, n - 1)) * error
    if not differing:
        return Paired(value, other, error, reach, 1.0)
    p = float(stats.t.sf((value - other) / error, n - 1)) if error > 0 else float(value <= other)
    return Paired(value, other, error, reach, max(p, 0.5**differing))  # few users prove little, however equal they are


def _below(values: Mapping[str, Values], name: str, segment: str, gate: GateParams) -> str | None:
    """The figures of a floor that is missed. A segment that nobody belongs to has no floor."""
    if not values:
        return None
    found = paired(values[name], values[gate.baseline], gate.alpha)
    margin = gate.margin * found.other
    if found.reach + PASSED * found.error <= margin:
        missed, wanted = found.difference - found.reach < -margin, f"tolerated {-margin:+.4f}"
    else:
        missed, wanted = found.difference + found.reach < 0, "significantly worse"
    return f"{segment!r}: {found}, {wanted}" if missed else None


def _told(found: Paired, p: float, other: str, gate: GateParams, place: str | None = None) -> str:
    return f"{other!r} on {gate.metric} in segment {place or gate.segment!r}: {found}, p {p:.2g}"
