"""Compares two lists of items: the share of common items, and rank-biased overlap."""

from collections.abc import Sequence

PERSISTENCE = 0.9  # the first 10 positions have about 86 % of the weight


def overlap(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the number of common items divided by the length of the longer list, 0..1; 1 for two empty lists.

    >>> overlap(["a", "b", "c", "d"], ["d", "x", "a", "y"])
    0.5
    """
    longest = max(len(first), len(second))
    return len({*first} & {*second}) / longest if longest else 1.0


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float = PERSISTENCE) -> float:
    """Return the rank-biased overlap (RBO) of two lists, 0..1: the higher a common item, the more it counts.

    X_d is the number of common items of the first d of both lists, and k the length of the longer list:
    RBO = X_k / k * p^k + (1 - p) / p * sum over d = 1..k of X_d / d * p^d

    Source: Webber, Moffat and Zobel 2010, "A similarity measure for indefinite rankings", equation 32.

    >>> rank_biased_overlap("abc", "abc"), rank_biased_overlap("abc", "xyz")
    (1.0, 0.0)
    >>> rank_biased_overlap("abc", "xbc") < rank_biased_overlap("abc", "abx")
    True
    """
    k = max(len(first), len(second))
    if not k:
        return 1.0
    total, shared = 0.0, 0
    for depth in range(1, k + 1):
        shared = len({*first[:depth]} & {*second[:depth]})
        total += shared / depth * p**depth
    return round(shared / k * p**k + (1 - p) / p * total, 12)
