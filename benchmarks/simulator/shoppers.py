"""Simulates visits: the user, the time, the mood, and the reactions to the items shown."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.simulator.clicks import Appeal, ClickModel
from recsys.datasets.shop_world.world import MOOD_SHARES, World

PURCHASE_OF_CART = 0.5
BROWSE_SHARE = 0.4  # visits that also look at one item found without any recommendation
STRANGER_SHARE = 0.1  # visits of people who never come back


@dataclass(frozen=True)
class Visit:
    """day: of the log, 0 is its first; second: of the day; mood: row of `World.tastes`; browsed: an item, or None."""

    user: int
    user_id: str
    day: int
    second: float
    mood: int
    browsed: int | None


@dataclass(frozen=True)
class Reaction:
    """An action on the item at `place` (0 is the top): a click, cart or purchase; value in money."""

    place: int
    event: str
    value: float | None = None


@dataclass
class Shoppers:
    """The users of one shop; all their actions follow from `seed` and the items shown."""

    world: World
    seed: int
    clicks: ClickModel = field(default_factory=ClickModel)

    def __post_init__(self) -> None:
        self._appeal = Appeal(self.world, self.clicks)
        self._shown: Counter[tuple[str, int]] = Counter()

    def visits(self, day: int, n: int) -> Iterator[Visit]:
        """Draw n visits of one day, by time: active users come more often; unknown visitors come once."""
        chance = np.random.default_rng([self.seed, 1, day])
        present = np.cumsum(self.world.users.presence(min(day, self.world.config.days - 1)))
        users = np.searchsorted(present, chance.random(n) * present[-1], side="right")
        strangers = chance.random(n) < STRANGER_SHARE
        seconds = np.sort(np.clip(chance.normal(15.5, 4.0, n), 0.0, 23.99) * 3600)
        moods = self.world.users.moods[users, chance.choice(len(MOOD_SHARES), n, p=MOOD_SHARES)]
        demand = self.world.items.popularity * self.world.items.pace(day)
        for number in range(n):
            user, mood = int(users[number]), int(moods[number])
            browsed = None
            if chance.random() < BROWSE_SHARE:
                pull = np.cumsum(self.world.pull[mood] * demand)
                browsed = int(np.searchsorted(pull, chance.random() * pull[-1], side="right"))
            name = f"stranger-{day}-{number}" if strangers[number] else f"u{user:07d}"
            yield Visit(user, name, day, float(seconds[number]), mood, browsed)

    def probabilities(self, visit: Visit, rows: list[int]) -> list[float]:
        """The chance of a click on each place; rows: the items shown, best first, -1 for a place without one."""
        items = np.array(rows, dtype=np.int64)
        before = np.array([self._shown[visit.user_id, row] for row in rows], dtype=np.int64)
        appeal = self._appeal.on(visit.day)[visit.mood, items]
        chances = self.clicks.examined(len(rows)) * self.clicks.chance(appeal, before)
        return np.where(items >= 0, chances, 0.0).tolist()

    def react(self, visit: Visit, rows: list[int]) -> list[Reaction]:
        """Return the visitor's actions; rows as in `probabilities`. The same visit and rows give the same actions."""
        chance = np.random.default_rng([self.seed, 2, visit.day, int(visit.second * 1000), visit.user])
        reactions = []
        for place, (row, probability) in enumerate(zip(rows, self.probabilities(visit, rows), strict=True)):
            rolled = chance.random(3)
            if row < 0:
                continue
            self._shown[visit.user_id, row] += 1
            if rolled[0] >= probability:
                continue
            reactions.append(Reaction(place, "click"))
            bought = float(self.world.conversion(np.array([visit.user]), np.array([row]))[0])
            if rolled[1] < bought:
                reactions.append(Reaction(place, "cart"))
                if rolled[2] < PURCHASE_OF_CART:
                    reactions.append(Reaction(place, "purchase", float(self.world.items.price[row])))
        return reactions
