"""Computes the confidence of an item: the calibrated probability that the user chooses it. As in evaluation, only users
count who choose anything in the next `horizon_days`. Each variant has a curve for every label of its slots (their
source, and whether they are fallback):

    confidence = 1 / (1 + exp(-(bias + score asinh(s / scale) + rank ln(r) + known ln(1 + n))))

s is the slot's score, r its place in the answer from 1, n the number of events in the history. The curves are fitted on
the validation window (`recsys/evaluation/fit_calibration.py`) and lie in the bundle as calibration.json.
Source: Platt, "Probabilistic outputs for support vector machines", 1999.
"""

import json
from collections.abc import Sequence
from math import asinh, exp, log, log1p
from pathlib import Path

from pydantic import Field

from recsys.contracts import Slot
from recsys.errors import BundleError, ParamsError
from recsys.output import write_text
from recsys.params import Section, parse

FILE = "calibration.json"
LIMIT = 20.0  # of the exponent: never 0 and never 1


class Curve(Section):
    """The parameters of the formula. slots: how many slots it was fitted on; wanted: how many of them were relevant."""

    bias: float
    score: float = Field(0.0, ge=0)
    rank: float = Field(0.0, le=0)
    known: float = 0.0
    scale: float = Field(1.0, gt=0)
    slots: int = Field(ge=1)
    wanted: int = Field(ge=0)

    def at(self, score: float, rank: int, n_known: int) -> float:
        """Return the confidence by the formula of this module, in (0, 1)."""
        z = self.bias + self.score * asinh(score / self.scale) + self.rank * log(rank) + self.known * log1p(n_known)
        return 1.0 / (1.0 + exp(-min(max(z, -LIMIT), LIMIT)))


class Calibration(Section):
    """curves: variant -> label -> curve; horizon_days: None with the split `per_user_holdout`."""

    horizon_days: float | None
    curves: dict[str, dict[str, Curve]]

    def of(self, variant: str, slots: Sequence[Slot], first_rank: int, n_known: int) -> list[float | None]:
        """Return the confidence of consecutive slots of an answer; the first of them has the rank `first_rank`, from 1.

        None where no curve was fitted, such as for a pinned item.
        """
        curves = self.curves.get(variant, {})
        confidences: list[float | None] = []
        for rank, slot in enumerate(slots, start=first_rank):
            curve = curves.get(label(slot.source, slot.fallback))
            confidences.append(None if curve is None else curve.at(slot.score, rank, n_known))
        return confidences

    def save(self, path: Path) -> None:
        """Write calibration.json; the same curves give the same bytes."""
        write_text(path, json.dumps(self.model_dump(), indent=1, sort_keys=True) + "\n")


def label(source: str, fallback: bool) -> str:
    """Return the label of a slot: popular items have a curve of their own where they are the fallback.

    >>> label("popular", fallback=True), label("als", fallback=False)
    ('popular (fallback)', 'als')
    """
    return f"{source} (fallback)" if fallback else source


def load(path: Path) -> Calibration:
    """Read what `Calibration.save` wrote.

    Raises:
        BundleError: "bundle/calibration.json: not a readable calibration (...); run `dvc repro`"
    """
    try:
        return parse(Calibration, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, ParamsError) as error:
        raise BundleError(f"{path}: not a readable calibration ({error}); run `dvc repro`") from error
