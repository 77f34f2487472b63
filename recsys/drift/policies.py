"""The settings file of `recsys watch`: the action for each kind of finding. Every key is optional; `{}` = defaults.

hours: 24                                    length of a window, which is compared with the windows before it
level: 0.01                                  probability of a false alarm per window, or per release
policies:                                    kind of finding -> action, and moved: act only if at least this share
  model: {action: roll back, moved: 0.2}     of the feature's counts moved to other bins
canary: {least: 500, hours: 1, alpha: 0.05}  answers and hours before the next step; level of its test
retrain: [recsys, retrain]                   the command for `retrain`

Kinds: model (default: roll back), events (retrain), scores, items, requests, outcomes (tell); watch.yaml explains each.
Actions: tell (only report it), retrain, popular (serve the variant `popular`), roll back.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from recsys.params import Section, parse, yaml_files

Kind = Literal["model", "scores", "items", "requests", "events", "outcomes"]


class Policy(Section):
    """The action for findings of one kind; moved: least `FeatureShift.moved` at which it is taken."""

    action: Literal["tell", "retrain", "popular", "roll back"] = "tell"
    moved: float = Field(0.05, ge=0, le=1)


class CanarySteps(Section):
    """When a canary gets a larger share. least, hours: number of its answers and time since the last step; alpha: level
    of the test whether its answers get fewer clicks."""

    least: int = Field(500, ge=1)
    hours: float = Field(1, ge=0)
    alpha: float = Field(0.05, gt=0, lt=1)


class Policies(Section):
    """The content of the file, see the docstring of this module."""

    hours: float = Field(24, gt=0)
    level: float = Field(0.01, gt=0, lt=1)
    policies: dict[Kind, Policy] = Field(default_factory=dict)
    canary: CanarySteps = CanarySteps()
    retrain: list[str] = Field(default=["recsys", "retrain"], min_length=1)

    def of(self, kind: Kind) -> Policy:
        return self.policies.get(kind, DEFAULTS.get(kind, Policy()))


DEFAULTS: dict[Kind, Policy] = {
    "model": Policy(action="roll back", moved=0.2),
    "events": Policy(action="retrain", moved=0.1),
}


def load(path: Path) -> Policies:
    """Read the settings file of `recsys watch`.

    Raises:
        ParamsError: "watch.yaml: line 3: policies.model.action: Input should be 'tell', 'retrain', ..."
    """
    file = yaml_files.read(path)
    return parse(Policies, file.content, str(path), file)
