"""Reads `tuned.json`, which the stage `tune` writes: all settings of one data set that can be searched.

Those in params.yaml are copied, the others were found by the search; params.yaml takes precedence if it has changed
since. In dvc.yaml each stage lists the keys of this file that it reads.
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
    """Settings of the stage `tune`. trials: number of trials per model; max_users: maximum users in a trial."""

    trials: int = Field(30, ge=1)
    max_users: int = Field(2000, ge=1)


class Tuned(Section):
    """The content of tuned.json."""

    dataset: str
    recent_half_life_days: float
    smoothing: float | None = None  # earlier versions wrote neither this setting nor the next one
    repeat_half_life_days: float | None = None
    models: dict[str, dict[str, Any]]
    variants: dict[str, dict[str, Any]]


def with_tuned(params: "Params", path: Path) -> "Params":
    """Return the settings, completed from the file at `path` if it exists and is about the active data set."""
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
