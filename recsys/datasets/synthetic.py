"""A synthetic shop, drawn from the seed: no download, any size, and the true tastes of the users are known.

Each session of a user follows one taste (a department in a style); an item's words show its department and style.
Demand follows Zipf's law, trends and seasons. New users and items arrive all the time, and the log has the faults of
real logs. See `shop_world/`.
"""

from recsys.datasets.shop_world.raw_files import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
