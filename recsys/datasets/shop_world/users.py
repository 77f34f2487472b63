"""The users of the shop: tastes, price levels, activity, first and last days."""

from dataclasses import dataclass

import numpy as np

from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import DIM, N_DEPARTMENTS, N_STYLES, Floats, Ints, unit

# A user has three tastes (moods): two departments in the favourite style, a third in another style.
MOOD_SHARES = np.array([0.5, 0.3, 0.2])
OWN_PART = 0.5
ACTIVITY_SIGMA = 1.0
LIFETIME_DAYS = 300.0


@dataclass(frozen=True)
class Users:
    """The users of the shop: arrays with one entry per user, in random order.

    style: the favourite one, position in STYLES. moods: (n_users, 3) tastes, see `World`; each session has one of them,
    with probabilities MOOD_SHARES. vectors: (n_users, DIM), unit length. price_level: preferred `Items.price_level`.
    activity: relative number of sessions per day, heavy-tailed. arrives, leaves: days since the log began.
    """

    style: Ints
    moods: Ints
    vectors: Floats
    price_level: Floats
    activity: Floats
    arrives: Floats
    leaves: Floats

    def __len__(self) -> int:
        return len(self.style)

    def presence(self, day: int) -> Floats:
        """Return (n_users,) activity on a day; 0 for users who have not arrived yet or have left."""
        return np.where((self.arrives <= day) & (day < self.leaves), self.activity, 0.0)


def draw(config: Config, tastes: Floats, rng: np.random.Generator) -> Users:
    """Draw the users; tastes: (N_DEPARTMENTS * N_STYLES, DIM) vectors, department by department."""
    n = config.users
    departments = rng.random((n, N_DEPARTMENTS)).argsort(axis=1)[:, : len(MOOD_SHARES)]
    styles = rng.random((n, N_STYLES)).argsort(axis=1)[:, :2]
    moods = departments * N_STYLES + styles[:, [0, 0, 1]]
    wanted = np.einsum("m,umd->ud", MOOD_SHARES, tastes[moods])
    arrives = np.zeros(n)
    new = rng.permutation(n)[: int(config.new_user_share * n)]
    arrives[new] = rng.integers(1, config.days, size=len(new))
    return Users(
        style=styles[:, 0],
        moods=moods,
        vectors=unit(unit(wanted) + OWN_PART * unit(rng.normal(size=(n, DIM)))),
        price_level=rng.normal(0.0, 0.4, size=n),
        activity=rng.lognormal(0.0, ACTIVITY_SIGMA, size=n),
        arrives=arrives,
        leaves=arrives + rng.exponential(LIFETIME_DAYS, size=n),
    )
