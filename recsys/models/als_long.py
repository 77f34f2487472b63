"""ALS with a long memory: the same model as `als`, with settings of its own, to be multiplied by a recency ranker.

Alone, ALS does best on a shop when it forgets fast; under the ranker `recency`, which knows what sells now, it does
best when it remembers whole tastes. Both are measured, so both are models.
Settings: `benchmarks/models/recency_grid.py`.
"""

from recsys.models.als import Config, fit, suggest

__all__ = ["Config", "fit", "suggest"]
