"""Simulated shoppers with planted tastes who ask a recommender, click and buy: an experiment's true effect is known.

They are the users of the synthetic shop, `recsys/datasets/shop_world`. Their click model (`clicks.py`) differs from all
models that are tested on them: shoppers look from the top until they stop at random, and click by an item's rank within
the mood of the visit; no inner product, no factorization.
"""
