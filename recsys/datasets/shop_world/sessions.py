"""Draws one day in the shop: sessions of views, some of which lead to carts, and some of those to purchases."""

from dataclasses import dataclass

import numpy as np

from recsys.datasets.shop_world.items import Floats, Ints, drawn
from recsys.datasets.shop_world.world import MOOD_SHARES, World

LOOKS, MOST_LOOKS = 4.0, 40
AGAIN_SHARE = 0.15  # share of views that return to the item before
WANDER_SHARE = 0.1  # share of sessions in any taste, such as for a present
PURCHASE_SHARE = 0.5  # share of carts that become purchases
LOOK_S, CART_S, CHECKOUT_S = 45.0, 30.0, 120.0
EVENTS = ("view", "cart", "purchase")
WEEKDAYS = np.array([1.0, 0.95, 0.95, 1.0, 1.1, 1.3, 1.25])


@dataclass(frozen=True)
class Events:
    """One entry per event: user and item rows, `step` in EVENTS, `seconds` since midnight (may exceed a day)."""

    user: Ints
    item: Ints
    step: Ints
    seconds: Floats


def traffic(world: World) -> Floats:
    """Return (days,) share of all events on each day: by the active users of that day, more at weekends."""
    days = range(world.config.days)
    present = np.array([world.users.presence(day).sum() * WEEKDAYS[day % 7] for day in days])
    return np.asarray(present / present.sum())


def day(world: World, day: int, n_events: int, rng: np.random.Generator) -> Events:
    """Draw exactly `n_events` events of one day; sessions are unordered, the last one may be cut short."""
    looks = np.minimum(rng.geometric(1.0 / LOOKS, size=n_events), MOST_LOOKS)
    looks = looks[: np.searchsorted(np.cumsum(looks), n_events) + 1]  # enough, even if nobody buys
    present = np.cumsum(world.users.presence(day))
    user = np.searchsorted(present, rng.random(len(looks)) * present[-1], side="right")
    mood = np.searchsorted(np.cumsum(MOOD_SHARES)[:-1], rng.random(len(user)), side="right")
    wander = rng.random(len(user)) < WANDER_SHARE
    taste = np.where(wander, rng.integers(len(world.tastes), size=len(user)), world.users.moods[user, mood])
    start = np.clip(rng.normal(15.5, 4.0, size=len(looks)), 0.0, 23.9) * 3600
    session = np.repeat(np.arange(len(looks)), looks)
    first = np.cumsum(looks) - looks
    item = drawn(world.pull * world.items.pace(day), taste[session], rng.random(len(session)))
    again = rng.random(len(session)) < AGAIN_SHARE
    again[first] = False
    item = item[np.maximum.accumulate(np.where(again, 0, np.arange(len(session))))]
    waited = np.cumsum(rng.exponential(LOOK_S, size=len(session)))
    seconds = start[session] + waited - waited[first][session]

    chance = world.conversion(user[session], item)
    cart = ~again & (rng.random(len(session)) < chance)
    purchase = cart & (rng.random(len(session)) < PURCHASE_SHARE)
    steps = 1 + cart + purchase
    look = np.repeat(np.arange(len(session)), steps)[:n_events]
    step = np.arange(n_events) - (np.cumsum(steps) - steps)[look]
    seconds = seconds[look] + step * CART_S * rng.uniform(0.5, 1.5, size=n_events) + (step == 2) * CHECKOUT_S
    return Events(user[session[look]], item[look], step, seconds)
