"""ALS with a long half-life: the same model as `als` with other settings, for the ranker `recency`.

Alone, ALS works best on a shop with a short half-life; with the ranker `recency`, which adds current demand, it works
best with a long one. `benchmarks/models/recency_grid.py` measured the settings.
"""

from recsys.models.als import Config, fit, suggest

__all__ = ["Config", "fit", "suggest"]
