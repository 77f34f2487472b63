"""Puts random items into a few positions of a list, and computes the exact probability of every item shown.

Epsilon-greedy: each of the last `places` positions holds, with probability epsilon and independently of the others, an
item of the pool instead of its own. The pool is made of the next best items that the list does not show, and is cut
into one part per position. So two positions never draw the same item, and the propensities at a position add up to 1:

    own item of the position               1 - epsilon
    an item of the position's part         epsilon / size of the part
"""

from dataclasses import dataclass

import numpy as np

from recsys.contracts import Slot
from recsys.experiments.online.config import Explore

EXPLORE = "explore"


@dataclass(frozen=True)
class Explored:
    """An explored list. slots: best first; propensities: for each position, the probability of the item in it. choices:
    for each position, catalogue row of each item that it could have held -> probability; they add up to 1."""

    slots: list[Slot]
    propensities: list[float]
    choices: list[dict[int, float]]


def explore(slots: list[Slot], k: int, explore: Explore, seed: int) -> Explored:
    """Put random items into a list. slots: k slots and then the next best ones. The same seed gives the same list."""
    shown, pool = slots[:k], slots[k : k + explore.pool]
    places = min(explore.places, len(shown), len(pool))
    epsilon = min(explore.epsilon, explore.max_share * len(shown) / places) if places else 0.0
    chance = np.random.default_rng(seed)
    answer, propensities, choices = list(shown), [1.0] * len(shown), [{slot.row: 1.0} for slot in shown]
    for number in range(places):
        at, part = len(shown) - places + number, pool[number::places]
        own = 1 - epsilon
        choices[at] = {shown[at].row: own, **{slot.row: epsilon / len(part) for slot in part}}
        if chance.random() < epsilon:
            drawn = part[int(chance.integers(len(part)))]
            answer[at] = Slot(drawn.row, drawn.score, EXPLORE)
        propensities[at] = choices[at][answer[at].row]
    return Explored(answer, propensities, choices)
