"""Shoppers with planted tastes who ask a recommender, click and buy: the truth of an experiment is known here.

They live in the made-up shop of `recsys/datasets/shop_world`. How they click (`clicks.py`) is of another family than
any model that is judged on them: an item's rank within the mood of the visit, looked at from the top until they lose
patience; no inner product, no factorization.
"""
