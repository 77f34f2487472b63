"""Holds out every third user from the training of a ranker, for choosing its settings and fitting its confidence."""

import zlib
from collections.abc import Iterable

import numpy as np

from recsys.contracts import BoolArray


def ranker_holdout_users(user_ids: Iterable[str]) -> BoolArray:
    """(n_users,) bool: True for held-out users, by a hash of the id, so the same ones in every window and run.

    >>> ranker_holdout_users(["anna", "ben", "cleo"]).tolist()
    [True, True, False]
    """
    return np.array([zlib.crc32(f"held out {user_id}".encode()) % 3 == 0 for user_id in user_ids], dtype=np.bool_)
