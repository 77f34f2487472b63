"""Made-up grocery shopping: every user buys staples again, each after its usual time: `shop_world/grocery.py`."""

from recsys.datasets.shop_world.raw_files import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
