"""The schema of `experiments.yaml`: which experiments run, for whom, and by which metrics they are judged.

A file with one fault is refused as a whole. The example in `experiments.yaml` explains every key.
"""

import hashlib
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self
from unicodedata import normalize

from pydantic import AwareDatetime, BeforeValidator, Field, field_validator, model_validator

from recsys.params import Section, parse, yaml_files
from recsys.schemas.field_limits import MESSAGES, id_fault


def _number(given: object) -> object:
    """Refuse true and false, which count as 1 and 0 elsewhere."""
    if isinstance(given, bool):
        raise ValueError(f"expected a number, found {str(given).lower()}")
    return given


def _moment(given: object) -> object:
    """Refuse numbers, which could be seconds or milliseconds."""
    text = str(given).strip()
    if isinstance(given, bool | int | float) or text.replace(".", "", 1).lstrip("+-").isdigit():
        raise ValueError(f"expected a date and time with a zone, such as 2026-03-01T08:00:00Z, found {text:.40}")
    return given


Name = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Unit = Literal["user", "anonymous", "session"]
Metric = Literal["ctr", "conversion", "revenue", "fallback_rate", "latency_ms"]
SUM_TOLERANCE = 1e-3  # thirds may be written as 0.333


class Explore(Section):
    """Settings of exploration, which shows random items in some positions (`recsys/experiments/online/exploration.py`).

    epsilon: the probability of a random item in such a position; places: number of such positions, at the end of the
    list; pool: number of next best items to draw from; max_share: the largest average share of random items in a list.
    """

    epsilon: Share
    places: int = Field(ge=1)
    pool: int = Field(50, ge=2)
    max_share: Share = 0.2


class Arm(Section):
    """One arm: a variant (named mix of sources in params.yaml), and its weight, the share of the experiment's units.
    bundle: id of the release (trained models and their data) that answers, None for the current one; interleave: a
    second variant, whose list is interleaved with the first one's (`recsys/experiments/online/team_draft.py`)."""

    variant: str
    weight: Annotated[float, BeforeValidator(_number)] = Field(gt=0, le=1)
    bundle: str | None = None
    explore: Explore | None = None
    interleave: str | None = None

    @property
    def drawn(self) -> bool:
        """Whether the lists of the arm are partly random."""
        return self.explore is not None or self.interleave is not None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.explore is not None and self.interleave is not None:
            raise ValueError("an arm has either explore or interleave, not both: delete one")
        return self


class Targeting(Section):
    """The requests that take part; an empty setting allows all. segments: of users by length of history: warm, few,
    cold_user; surfaces: places of the shop, as requests name them, such as "home"; attributes: name -> values."""

    segments: list[Literal["warm", "few", "cold_user"]] = Field(default_factory=list)
    surfaces: list[str] = Field(default_factory=list)
    attributes: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)


class Namespace(Section):
    """The part of a layer for one experiment: buckets in [start, end). A unit is in at most one experiment of a
    layer."""

    layer: Name
    start: Share
    end: Share

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be greater than start")
        return self


class Guardrail(Section):
    """A limit for one metric, by which an arm is stopped however good its primary metric is: a budget or a margin.
    budget: for `fallback_rate` the largest share of answers by the fallback; for `latency_ms` the milliseconds that at
    most 1 of 100 answers may exceed. margin: for any metric, how much worse than in the control it may be, as a share
    of the control's value (a non-inferiority margin)."""

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

    seed: of the hash buckets, None: the name of the experiment; coverage: the share of the units that take part, which
    can be raised without moving any unit; forced: unit -> arm, for testing; enabled: false ends the experiment at once,
    and every unit gets the default variant; attribution_hours: how long an event counts for an answer; planned_units:
    the result of `recsys experiment plan`, all arms together; clock_skew_seconds: the tolerated skew of a client's
    clock, for events without a request id; alpha, power: of the test; guardrails: metric -> limit, or a list of metrics
    with the default limits.
    """

    unit: Unit = "user"
    arms: dict[Name, Arm] = Field(min_length=2)
    seed: str | None = None
    coverage: Share = 1.0
    targeting: Targeting = Targeting()
    namespace: Namespace | None = None
    forced: dict[str, str] = Field(default_factory=dict)
    start: Moment | None = None
    end: Moment | None = None
    enabled: bool = True
    primary: Metric = "ctr"
    guardrails: dict[Metric, Guardrail] = GUARDRAILS
    attribution_hours: float = Field(24, gt=0, le=24 * 366)
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
                raise ValueError(f"{name} cannot have a budget, set a margin; budgets are for: {', '.join(GUARDRAILS)}")
        return given

    @property
    def control(self) -> str:
        return next(iter(self.arms))

    def running(self, now: datetime) -> bool:
        """Return whether the experiment is enabled and `now` is in [start, end)."""
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
            raise ValueError(f"forced: {unknown[0]!r} is not an arm; there are: {', '.join(self.arms)}")
        for unit in self.forced:
            if fault := id_fault(unit):
                raise ValueError(f"forced: no unit has the id {unit!r:.80}: {MESSAGES[fault]}")
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class Experiments(Section):
    """The whole file. holdout: the share of units that take part in no experiment; holdout_seed: of their hash.
    experiments: name -> experiment."""

    holdout: Share = 0.0
    holdout_seed: str = "holdout"
    experiments: dict[Name, Experiment] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_can_be_told_apart(self) -> Self:
        alike: dict[str, str] = {}
        for name in self.experiments:
            other = alike.setdefault(normalize("NFKC", name).casefold(), name)
            if other != name:
                raise ValueError(f"the names {other!r} and {name!r} can be mistaken for each other: rename one")
        return self

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
    """Read a file of experiments; return it with its version, 12 hex digits of the hash of its bytes.

    A missing file is read as one without experiments, of the version "none".

    Raises:
        ParamsError: "experiments.yaml: experiments.home.arms: ..."
    """
    if not path.exists():
        return Experiments(), "none"
    return read(yaml_files.read_bytes(path), str(path))


def read(content: bytes, where: str) -> tuple[Experiments, str]:
    """Parse the bytes of a file of experiments as `load` does. where: the name of the file in messages."""
    file = yaml_files.parse(content, where)
    return parse(Experiments, file.content, where, file), hashlib.sha256(content).hexdigest()[:12]


def moved(before: Experiments, after: Experiments) -> list[str]:
    """Return the names of experiments in which some units get another arm, as arms, weights, seed or unit changed."""

    def split(experiment: Experiment) -> object:
        return experiment.unit, experiment.seed, [(name, arm.weight) for name, arm in experiment.arms.items()]

    both = before.experiments.keys() & after.experiments.keys()
    return [name for name in sorted(both) if split(before.experiments[name]) != split(after.experiments[name])]
