"""The true tastes of the shop, drawn from the configuration and the seed alone."""

from dataclasses import dataclass

import numpy as np

from recsys.datasets.shop_world import items as items_
from recsys.datasets.shop_world import users as users_
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import DIM, N_DEPARTMENTS, N_STYLES, Floats, Ints, Items, unit
from recsys.datasets.shop_world.users import Users

FOCUS = 9.0  # how strongly a session follows its taste; 0: popularity only
BUYING_BASE, BUYING_TASTE, BUYING_PRICE = -2.1, 4.0, 0.8


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
    users = users_.draw(config, tastes, of_users)
    pull = items.popularity * np.exp(FOCUS * np.einsum("td,nd->tn", tastes, items.vectors))
    return World(config, items, users, tastes, pull)
