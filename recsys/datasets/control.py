"""Made-up likes without order, repeats or ageing, where only collaborative taste helps: `shop_world/control.py`."""

from recsys.datasets.shop_world.raw_files import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
