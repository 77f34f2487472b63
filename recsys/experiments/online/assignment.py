"""Assigns units to arms by a hash: without state, and with the same result in every process and on every machine.

The hash and the bucket ranges are those of GrowthBook's SDKs (hash version 2; namespaces use version 1), which
therefore assign a unit to the same bucket.

Source: Fowler, Noll, Vo, "FNV-1a", draft-eastlake-fnv; GrowthBook, "Build Your Own SDK", hashing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from recsys.experiments.online.config import Experiment, Experiments, Unit

FNV_PRIME, FNV_START = 0x01000193, 0x811C9DC5


@dataclass(frozen=True)
class Subject:
    """The user or visitor of a request. units: "user", "anonymous" or "session" -> id, without those that are unknown.
    attributes: name -> value, for targeting."""

    units: Mapping[Unit, str]
    segment: str | None = None
    surface: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """The arm of one unit in one experiment. probability: the weight of the arm, or 1 for a forced unit."""

    experiment: str
    arm: str
    unit: str
    probability: float
    forced: bool = False


def fnv1a32(text: str) -> int:
    """Return the 32-bit FNV-1a hash of the text's UTF-16 code units, as in JavaScript.

    >>> hex(fnv1a32("foobar"))
    '0xbf9cf968'
    """
    value = FNV_START
    for unit in text.encode() if text.isascii() else memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H"):
        value = (value ^ unit) * FNV_PRIME & 0xFFFFFFFF
    return value


def bucket(seed: str, unit: str) -> float:
    """Return the unit's bucket in an experiment, [0, 1) in steps of 0.0001 (hash version 2)."""
    return (fnv1a32(str(fnv1a32(seed + unit))) % 10_000) / 10_000


def in_canary(bundle_id: str, share: float, unit: str) -> bool:
    """Return whether the canary of this bundle answers the unit; a higher share only adds units."""
    return bucket(f"canary-{bundle_id}", unit) < share


def place(layer: str, unit: str) -> float:
    """Return the unit's bucket in a layer, [0, 1) in steps of 0.001 (hash version 1)."""
    return (fnv1a32(f"{unit}__{layer}") % 1_000) / 1_000


def arm_of(experiment: Experiment, at: float) -> str | None:
    """Return the arm whose range contains the bucket `at`, None if no arm's does. The range of an arm starts at the sum
    of the weights before it and is coverage * weight wide, so a higher coverage only adds units."""
    start = 0.0
    for name, arm in experiment.arms.items():
        if start <= at < start + experiment.coverage * arm.weight:
            return name
        start += arm.weight
    return None


def to_arm(name: str, experiment: Experiment, arm: str, unit: str, forced: bool = False) -> Assignment:
    """Return the assignment of a unit to this arm. forced: by the experiment's `forced`, so with probability 1."""
    return Assignment(name, arm, unit, 1.0 if forced else experiment.arms[arm].weight, forced)


def assign_one(experiments: Experiments, name: str, subject: Subject, now: datetime) -> Assignment | None:
    """Return the assignment of a subject in one experiment; None if the subject does not take part."""
    experiment = experiments.experiments[name]
    unit = subject.units.get(experiment.unit)
    if unit is None or not experiment.running(now) or not _targeted(experiment, subject):
        return None
    if unit in experiment.forced:
        return to_arm(name, experiment, experiment.forced[unit], unit, forced=True)
    if experiments.holdout and bucket(experiments.holdout_seed, unit) < experiments.holdout:
        return None
    space = experiment.namespace
    if space is not None and not space.start <= place(space.layer, unit) < space.end:
        return None
    arm = arm_of(experiment, bucket(experiment.seed or name, unit))
    return to_arm(name, experiment, arm, unit) if arm is not None else None


def _targeted(experiment: Experiment, subject: Subject) -> bool:
    wanted = experiment.targeting
    return (
        (not wanted.segments or subject.segment in wanted.segments)
        and (not wanted.surfaces or subject.surface in wanted.surfaces)
        and all(subject.attributes.get(name) in values for name, values in wanted.attributes.items())
    )
