"""The schema of `experiments.yaml`: which experiments run, for whom, and by which metrics they are judged.

A fault anywhere refuses the whole file. The example in `experiments.yaml` explains every key.
"""

import hashlib
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from recsys.params import Section, parse, yaml_files

Name = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Unit = Literal["user", "anonymous", "session"]
Metric = Literal["ctr", "conversion", "revenue", "fallback_rate", "latency_ms"]
SUM_TOLERANCE = 1e-3  # thirds may be written as 0.333


class Explore(Section):
    """Puts random items into some places, so that items that are never shown can be judged
    (`recsys/experiments/online/exploration.py`).

    epsilon: the chance that a place holds a random item; places: how many places at the end of the list may hold one;
    pool: how many of the next best items it is drawn from; max_share: the largest average share of random places.
    """

    epsilon: Share
    places: int = Field(ge=1)
    pool: int = Field(50, ge=2)
    max_share: Share = 0.2


class Arm(Section):
    """One arm: a variant of the bundle that is served, or of another released bundle, and its part of the traffic.

    interleave: a second variant, whose list is interleaved with this one (`recsys/experiments/online/team_draft.py`).
    """

    variant: str
    weight: float = Field(gt=0, le=1)
    bundle: str | None = None
    explore: Explore | None = None
    interleave: str | None = None

    @property
    def drawn(self) -> bool:
        return self.explore is not None or self.interleave is not None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.explore is not None and self.interleave is not None:
            raise ValueError("an arm explores or interleaves, not both")
        return self


class Targeting(Section):
    """The requests that take part. An empty list includes all; attributes: values that the request has to carry."""

    segments: list[str] = Field(default_factory=list)
    surfaces: list[str] = Field(default_factory=list)
    attributes: dict[str, list[str]] = Field(default_factory=dict)


class Namespace(Section):
    """The part of a layer that belongs to one experiment: buckets from `start` up to `end`."""

    layer: Name
    start: Share
    end: Share

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be above start")
        return self


class Guardrail(Section):
    """Stops an arm, however good its primary metric is: a budget of its own, or a margin to the control.

    budget: for `fallback_rate` the largest share of answers; for `latency_ms` the milliseconds that 99 of 100 answers
    keep, such as the deadline of the API. margin: for any metric, how much worse than the control it may be, as a share
    of the control's value (a non-inferiority margin).
    """

    budget: float | None = Field(None, ge=0)
    margin: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.budget is None) == (self.margin is None):
            raise ValueError("a guardrail needs either a budget or a margin, not both")
        return self


MARGIN = Guardrail(margin=0.02)
GUARDRAILS: dict[Metric, Guardrail] = {
    "fallback_rate": Guardrail(budget=0.05),
    "latency_ms": Guardrail(budget=100),  # the default of RECSYS_DEADLINE_MS
}


class Experiment(Section):
    """One experiment. The first arm is the control.

    seed: of the hash buckets, by default the name; coverage: the share of the units that take part, which can be raised
    without moving any unit; forced: unit -> arm, for testing; enabled false is the kill switch: every unit gets the
    default variant at once; planned_units: the number that `recsys experiment plan` gave, all arms together;
    clock_skew_seconds: the tolerated skew of a client's clock, for events without a request id; a list of guardrails
    gives each its default.
    """

    unit: Unit = "user"
    arms: dict[Name, Arm] = Field(min_length=2)
    seed: str | None = None
    coverage: Share = 1.0
    targeting: Targeting = Targeting()
    namespace: Namespace | None = None
    forced: dict[str, str] = Field(default_factory=dict)
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    enabled: bool = True
    primary: Metric = "ctr"
    guardrails: dict[Metric, Guardrail] = GUARDRAILS
    attribution_hours: float = Field(24, gt=0)
    clock_skew_seconds: float = Field(10, ge=0, le=3600)
    planned_units: int | None = Field(None, ge=4)
    alpha: float = Field(0.05, gt=0, lt=0.5)
    power: float = Field(0.8, gt=0.5, lt=1)
    minimum_effect: float = Field(0.05, gt=0, description="relative effect worth finding, 0.05 is 5 %")

    @field_validator("guardrails", mode="before")
    @classmethod
    def _defaults_for_names(cls, given: object) -> object:
        return {name: GUARDRAILS.get(name, MARGIN) for name in given} if isinstance(given, list | tuple) else given

    @field_validator("guardrails")
    @classmethod
    def _budgets_have_a_meaning(cls, given: dict[Metric, Guardrail]) -> dict[Metric, Guardrail]:
        for name, guardrail in given.items():
            if guardrail.budget is not None and name not in GUARDRAILS:
                raise ValueError(f"{name} has no budget, give it a margin; budgets are for: {', '.join(GUARDRAILS)}")
        return given

    @property
    def control(self) -> str:
        return next(iter(self.arms))

    def running(self, now: datetime) -> bool:
        begun = self.start is None or self.start <= now
        return self.enabled and begun and (self.end is None or now < self.end)

    @field_validator("arms")
    @classmethod
    def _weights_add_up_to_one(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        total = sum(arm.weight for arm in arms.values())
        if round(abs(total - 1), 9) > SUM_TOLERANCE:
            raise ValueError(f"the weights of the arms add up to {total:g}, expected 1")
        return {name: arm.model_copy(update={"weight": arm.weight / total}) for name, arm in arms.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if unknown := sorted(set(self.forced.values()) - self.arms.keys()):
            raise ValueError(f"forced: {unknown[0]!r} is no arm; there are: {', '.join(self.arms)}")
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class Experiments(Section):
    """The whole file. holdout: the share of units that never take part in any experiment."""

    holdout: Share = 0.0
    holdout_seed: str = "holdout"
    experiments: dict[Name, Experiment] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _layers_do_not_overlap(self) -> Self:
        taken = sorted(
            (experiment.namespace.layer, experiment.namespace.start, experiment.namespace.end, name)
            for name, experiment in self.experiments.items()
            if experiment.namespace is not None
        )
        for (layer, _, end, first), (other, start, _, second) in pairwise(taken):
            if layer == other and start < end:
                raise ValueError(f"{first!r} and {second!r} overlap in layer {layer!r}: change start or end of one")
        return self


def load(path: Path) -> tuple[Experiments, str]:
    """Read the file; return it with its version, the hash of its bytes. A missing file has no experiments.

    Raises:
        ParamsError: "experiments.yaml: experiments.home.arms: ..."
    """
    if not path.exists():
        return Experiments(), "none"
    return read(yaml_files.read_bytes(path), str(path))


def read(content: bytes, where: str) -> tuple[Experiments, str]:
    """Parse the bytes of a file of experiments; where: its name in messages. Raises the errors of `load`."""
    file = yaml_files.parse(content, where)
    return parse(Experiments, file.content, where, file), hashlib.sha256(content).hexdigest()[:12]


def moved(before: Experiments, after: Experiments) -> list[str]:
    """Return the names of experiments whose units would change their arm: other arms, weights, seed or unit."""

    def split(experiment: Experiment) -> object:
        return experiment.unit, experiment.seed, [(name, arm.weight) for name, arm in experiment.arms.items()]

    both = before.experiments.keys() & after.experiments.keys()
    return [name for name in sorted(both) if split(before.experiments[name]) != split(after.experiments[name])]
