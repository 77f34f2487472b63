"""Puts random items into a few places of a list, with the exact probability of every item shown.

Epsilon-greedy: each of the last `places` places holds, with probability epsilon and independently of the others, an
item of the pool in place of its own. The pool are the next best items that the answer does not show, cut into as many
parts as there are places, so two places never draw the same item and every propensity is a plain product:

    own item of a place                1 - epsilon
    an item of the place's part        epsilon / size of the part

For every place these add up to 1.
"""

from dataclasses import dataclass

import numpy as np

from recsys.contracts import Slot
from recsys.experiments.online.config import Explore

EXPLORE = "explore"


@dataclass(frozen=True)
class Explored:
    """slots: the list, best first; propensities: for each place, the probability that it holds this item.

    choices: for each place, every item (row) that it could hold -> its probability; they add up to 1.
    """

    slots: list[Slot]
    propensities: list[float]
    choices: list[dict[int, float]]


def explore(slots: list[Slot], k: int, explore: Explore, seed: int) -> Explored:
    """Explore a list. slots: k items and then the next best ones. The same seed gives the same list."""
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
