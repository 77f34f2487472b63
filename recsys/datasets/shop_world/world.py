"""The planted tastes of the shop, drawn from the configuration and the seed alone."""

from dataclasses import dataclass

import numpy as np

from recsys.datasets.shop_world import items as items_
from recsys.datasets.shop_world import users as users_
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import DIM, N_DEPARTMENTS, N_STYLES, Floats, Ints, Items, unit
from recsys.datasets.shop_world.users import Users

FOCUS = 9.0  # how strongly a session keeps to its taste; 0 would be plain popularity
BUYING_BASE, BUYING_TASTE, BUYING_PRICE = -2.1, 4.0, 0.8


@dataclass(frozen=True)
class World:
    """Users, items, and the tastes between them.

    A taste is a department in a style, `tastes[department * N_STYLES + style]`, (n_tastes, DIM), unit length. `pull` is
    (n_tastes, n_items): how often a session of that taste looks at that item, before `Items.pace`.
    """

    config: Config
    items: Items
    users: Users
    tastes: Floats
    pull: Floats

    def affinity(self, user_rows: Ints, item_rows: Ints) -> Floats:
        """(n,) how much user_rows[j] likes item_rows[j], the cosine in [-1, 1] of their vectors."""
        return np.asarray(np.einsum("nd,nd->n", self.users.vectors[user_rows], self.items.vectors[item_rows]))

    def conversion(self, user_rows: Ints, item_rows: Ints) -> Floats:
        """(n,) probability that user_rows[j] adds item_rows[j] to the cart after a view, by taste and price."""
        gap = np.abs(self.users.price_level[user_rows] - self.items.price_level[item_rows])
        logit = BUYING_BASE + BUYING_TASTE * self.affinity(user_rows, item_rows) - BUYING_PRICE * gap
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def world(config: Config, seed: int) -> World:
    """Draw the shop. Items do not depend on the number of users, nor users on the number of items or events."""
    space, of_items, of_users = (np.random.default_rng([seed, 0, stream]) for stream in range(3))
    departments = unit(space.normal(size=(N_DEPARTMENTS, DIM)))
    styles = unit(space.normal(size=(N_STYLES, DIM)))
    tastes = unit((departments[:, None] + styles[None]).reshape(-1, DIM))
    items = items_.draw(config, departments, styles, of_items)
    users = users_.draw(config, tastes, of_users)
    pull = items.popularity * np.exp(FOCUS * np.einsum("td,nd->tn", tastes, items.vectors))
    return World(config, items, users, tastes, pull)
