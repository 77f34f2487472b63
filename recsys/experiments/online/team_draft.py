"""Team-draft interleaving of two lists: in each round a coin decides which list first adds its best unused item.

Source: Radlinski, Kurup, Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008.
"""

from collections.abc import Sequence

import numpy as np

A, B = "a", "b"


def team_draft(first: Sequence[str], second: Sequence[str], k: int, seed: int) -> list[tuple[str, str]]:
    """Interleave two lists of items, best first; return k pairs (item, team), fewer if both lists end before.

    The team is "a" if the item was taken from the first list, "b" for the second one.

    >>> team_draft(["x", "y", "z"], ["x", "q", "r"], 4, seed=3)
    [('x', 'a'), ('q', 'b'), ('y', 'a'), ('r', 'b')]
    """
    coin = np.random.default_rng(seed)
    left = {A: list(reversed(first)), B: list(reversed(second))}
    shown: list[tuple[str, str]] = []
    taken: set[str] = set()
    while len(shown) < k and (left[A] or left[B]):
        for team in (A, B) if coin.random() < 0.5 else (B, A):
            while left[team]:
                item = left[team].pop()
                if item not in taken:
                    taken.add(item)
                    shown.append((item, team))
                    break
            if len(shown) == k:
                break
    return shown
