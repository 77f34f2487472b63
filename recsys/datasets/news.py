"""Synthetic clicks on news articles that age in hours and have no text: `shop_world/news.py`."""

from recsys.datasets.shop_world.raw_files import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
