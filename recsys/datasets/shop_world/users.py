"""The users of the shop: their tastes, price levels, activity, and first and last days."""

from dataclasses import dataclass

import numpy as np

from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import DIM, N_DEPARTMENTS, N_STYLES, Floats, Ints, unit

# A user's moods: two departments in the favourite style, a third in another one.
MOOD_SHARES = np.array([0.5, 0.3, 0.2])
OWN_PART = 0.5
ACTIVITY_SIGMA = 1.0
LIFETIME_DAYS = 300.0


@dataclass(frozen=True)
class Users:
    """All arrays have one entry per user, in an order that means nothing.

    style: the favourite one, position in STYLES. moods: (n_users, 3) tastes, see `World`, of which each session has
    one, by MOOD_SHARES. vectors: (n_users, DIM), unit length. price_level: log, as that of items. activity: relative
    number of sessions a day, heavy-tailed. arrives, leaves: days since the log began.
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
        """(n_users,) float: activity on a day; 0 for users who have not yet come or have left."""
        return np.where((self.arrives <= day) & (day < self.leaves), self.activity, 0.0)


def draw(config: Config, tastes: Floats, rng: np.random.Generator) -> Users:
    """Draw the users over `tastes` (N_DEPARTMENTS * N_STYLES, DIM), department by department."""
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
