"""ALS with a long half-life: the same model as `als` with other settings, for the ranker `recency`.

Alone, ALS is best on a shop with a short half-life; under the ranker `recency`, which adds present demand, with a long
one. Both were measured, so both are models.
Settings: `benchmarks/models/recency_grid.py`.
"""

from recsys.models.als import Config, fit, suggest

__all__ = ["Config", "fit", "suggest"]
