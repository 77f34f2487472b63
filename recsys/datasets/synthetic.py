"""A made-up shop, drawn from the seed: no download, any size, and the taste of every user is known.

Users have moods (a department in a style), items words that tell theirs, demand is Zipf-distributed and moves with
trends and seasons, new users and items arrive all the time, and the log has the dirt of real ones. See `shop_world/`.
"""

from recsys.datasets.shop_world.raw_files import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
