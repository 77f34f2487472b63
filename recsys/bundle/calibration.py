"""Computes the confidence of a recommended item: the calibrated probability that the user chooses it within the next
`horizon_days`, given that the user chooses anything then. Each variant has one curve for every label of its slots, see
`label`:

    confidence = 1 / (1 + exp(-(bias + score asinh(s / scale) + rank ln(r) + known ln(1 + n))))

s is the slot's score, r its position in the answer from 1, n the number of events in the history; bias, score, scale,
rank and known are the parameters of a `Curve`. `recsys/evaluation/fit_calibration.py` fits them on the validation
window; calibration.json in the bundle has them.
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
LIMIT = 20.0  # of the exponent, so that a confidence is never 0 or 1


class Curve(Section):
    """The parameters of the formula in this module. slots: how many slots the curve was fitted on; wanted: how many of
    them held an item that the user chose."""

    bias: float
    score: float = Field(0.0, ge=0)
    rank: float = Field(0.0, le=0)
    known: float = 0.0
    scale: float = Field(1.0, gt=0)
    slots: int = Field(ge=1)
    wanted: int = Field(ge=0)

    def at(self, score: float, rank: int, n_known: int) -> float:
        """Return the confidence of a slot, in (0, 1). rank: from 1; n_known: the number of events in the history."""
        z = self.bias + self.score * asinh(score / self.scale) + self.rank * log(rank) + self.known * log1p(n_known)
        return 1.0 / (1.0 + exp(-min(max(z, -LIMIT), LIMIT)))


class Calibration(Section):
    """All curves of a bundle. curves: variant -> label -> curve; horizon_days: the length of the validation window,
    None with the split `per_user_holdout`, which has no window."""

    horizon_days: float | None
    curves: dict[str, dict[str, Curve]]

    def of(self, variant: str, slots: Sequence[Slot], first_rank: int, n_known: int) -> list[float | None]:
        """Return the confidence of consecutive slots of an answer; None without a fitted curve, as for a pinned item.
        first_rank: the rank of the first of these slots in the answer, from 1; n_known: the events in the history."""
        curves = self.curves.get(variant, {})
        confidences: list[float | None] = []
        for rank, slot in enumerate(slots, start=first_rank):
            curve = curves.get(label(slot.source, True) if slot.fallback else slot.source)
            confidences.append(None if curve is None else curve.at(slot.score, rank, n_known))
        return confidences

    def save(self, path: Path) -> None:
        """Write calibration.json; the same curves give the same bytes."""
        write_text(path, json.dumps(self.model_dump(), indent=1, sort_keys=True) + "\n")


def label(source: str, fallback: bool) -> str:
    """Return the label of a slot: its source, and a separate label for slots that the fallback filled.

    >>> label("popular", fallback=True), label("als", fallback=False)
    ('popular (fallback)', 'als')
    """
    return f"{source} (fallback)" if fallback else source


def load(path: Path) -> Calibration:
    """Read a calibration.json that `Calibration.save` wrote.

    Raises:
        BundleError: "bundle/calibration.json: not a readable calibration (...); run `dvc repro`"
    """
    try:
        return parse(Calibration, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, ParamsError) as error:
        raise BundleError(f"{path}: not a readable calibration ({error}); run `dvc repro`") from error
