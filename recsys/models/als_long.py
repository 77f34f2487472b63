"""ALS with a long half-life: the same model as `als` with other settings, for the ranker `recency`.

On the data of shops, ALS alone is best with a short half-life; with the ranker `recency`, which adds current demand,
it is best with a long one. `benchmarks/models/recency_grid.py` measured the settings.
"""

from recsys.models.als import Config, fit, suggest

__all__ = ["Config", "fit", "suggest"]
