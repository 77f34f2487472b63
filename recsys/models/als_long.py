"""ALS with a long memory: the same model as `als`, with settings of its own, to be multiplied by a recency ranker.

Alone, ALS does best on a shop when it forgets fast; under the ranker `recency`, which knows what sells now, it does
best when it remembers whole tastes. Both are measured, so both are models.
Settings: `benchmarks/models/recency_grid.py`.
"""

from typing import TYPE_CHECKING, Any

from recsys.models.als import RANGES, Config, fit, suggest_from

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["Config", "fit", "suggest"]


def suggest(trial: "Trial") -> dict[str, Any]:
    """What `recsys tune` searches: not the half-life, for without the ranker a short one would win, as in `als`."""
    return suggest_from(trial, RANGES)
