"""The file `tuned.json` of the stage `tune`: the settings that a data set leaves open in params.yaml, and the others.

Settings of params.yaml win. Stages declare the keys of this file that they read as their parameters.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from recsys.params.section import Section, parse

if TYPE_CHECKING:
    from recsys.params import Params

TUNED_FILE = "tuned.json"


class TuneParams(Section):
    """Settings of the stage `tune`: the number of trials of each model, and the most users of a trial."""

    trials: int = Field(30, ge=1)
    max_users: int = Field(2000, ge=1)


class Tuned(Section):
    """All settings of one data set that the stage `tune` may find."""

    dataset: str
    recent_half_life_days: float
    smoothing: float | None = None  # absent, as the next, in files of earlier versions: `dvc repro` writes them again
    repeat_half_life_days: float | None = None
    models: dict[str, dict[str, Any]]
    variants: dict[str, dict[str, Any]]


def with_tuned(params: "Params", path: Path) -> "Params":
    """Return the settings with those of the file; ignore another data set's file and settings of removed models."""
    if not path.exists():
        return params
    found = parse(Tuned, json.loads(path.read_bytes()), str(path))
    if found.dataset != params.dataset:
        return params
    typed = params.data.models
    models = {name: {**found.models.get(name, {}), **typed.get(name, {})} for name in params.models}
    constants = found.model_dump(include={"smoothing", "repeat_half_life_days"})
    constants["typed_half_life_days"] = found.recent_half_life_days
    missing = {name: value for name, value in constants.items() if getattr(params.data, name) is None}
    return params.with_data(models=models, **missing)
