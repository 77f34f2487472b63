"""Synthetic grocery shopping: users buy staples again, each at its own interval: `shop_world/grocery.py`."""

from recsys.datasets.shop_world.raw_files import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
