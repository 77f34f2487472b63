"""The users of the shop and the true tastes, drawn from the configuration and the seed alone."""

from dataclasses import dataclass

import numpy as np

from recsys.datasets.shop_world import items as items_
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import DIM, N_DEPARTMENTS, N_STYLES, Floats, Ints, Items, unit

FOCUS = 9.0  # how strongly a session follows its taste; 0: popularity only
BUYING_BASE, BUYING_TASTE, BUYING_PRICE = -2.1, 4.0, 0.8
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


@dataclass(frozen=True)
class World:
    """Users, items and tastes.

    tastes: (n_tastes, DIM), unit length; a taste is a department in a style, in row department * N_STYLES + style.
    pull: (n_tastes, n_items) relative frequency of views of the item in a session of the taste, without `Items.pace`.
    """

    config: Config
    items: Items
    users: Users
    tastes: Floats
    pull: Floats

    def affinity(self, user_rows: Ints, item_rows: Ints) -> Floats:
        """Return (n,) how much user_rows[j] likes item_rows[j]: the cosine of their vectors."""
        return np.asarray(np.einsum("nd,nd->n", self.users.vectors[user_rows], self.items.vectors[item_rows]))

    def conversion(self, user_rows: Ints, item_rows: Ints) -> Floats:
        """Return (n,) probability that user_rows[j] adds item_rows[j] to the cart after a view, by taste and price."""
        gap = np.abs(self.users.price_level[user_rows] - self.items.price_level[item_rows])
        logit = BUYING_BASE + BUYING_TASTE * self.affinity(user_rows, item_rows) - BUYING_PRICE * gap
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def world(config: Config, seed: int) -> World:
    """Draw the shop. Items do not depend on the number of users, nor users on the numbers of items or events."""
    space, of_items, of_users = (np.random.default_rng([seed, 0, stream]) for stream in range(3))
    departments = unit(space.normal(size=(N_DEPARTMENTS, DIM)))
    styles = unit(space.normal(size=(N_STYLES, DIM)))
    tastes = unit((departments[:, None] + styles[None]).reshape(-1, DIM))
    items = items_.draw(config, departments, styles, of_items)
    users = _users(config, tastes, of_users)
    pull = items.popularity * np.exp(FOCUS * np.einsum("td,nd->tn", tastes, items.vectors))
    return World(config, items, users, tastes, pull)


def _users(config: Config, tastes: Floats, rng: np.random.Generator) -> Users:
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
