"""Synthetic likes without order, repeats or ageing: only the users' tastes predict them: `shop_world/control.py`."""

from recsys.datasets.shop_world.raw_files import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
