"""`tuned.json`, which the stage `tune` writes: what a data set's section of params.yaml leaves open, and what it types.

Typed settings win, and stages name the keys that they read of it as their parameters.
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
    """The stage `tune`: trials of each model that has settings to find, and at most so many users who are asked."""

    trials: int = Field(20, ge=1)
    max_users: int = Field(2000, ge=1)


class Tuned(Section):
    """All settings of one data set that may be found."""

    dataset: str
    recent_half_life_days: float
    models: dict[str, dict[str, Any]]
    variants: dict[str, dict[str, Any]]


def with_tuned(params: "Params", path: Path) -> "Params":
    """The same with what was found; a file of another data set, or settings of models that are gone, say nothing."""
    if not path.exists():
        return params
    found = parse(Tuned, json.loads(path.read_bytes()), str(path))
    if found.dataset != params.dataset:
        return params
    typed = params.data.models
    models = {name: {**found.models.get(name, {}), **typed.get(name, {})} for name in params.models}
    half_life_days = params.data.typed_half_life_days or found.recent_half_life_days
    return params.with_data(typed_half_life_days=half_life_days, models=models)
