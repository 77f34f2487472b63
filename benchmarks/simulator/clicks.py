"""The click model of a shopper: a cascade from the top, by the mood of the visit, with fatigue for repeated items.

Place 1 is always looked at, every next one with probability `patience`. An item that is looked at is
clicked with a probability between `least` and `most`, by its appeal in [0, 1]:

    appeal = rank ** choosiness

The rank is the share of the catalogue that appeals less to this mood on this day, by planted taste, season and trend.
Every earlier showing of the item without a click multiplies the chance by `fatigue`.

Source: Craswell, Zoeter, Taylor, Ramsey, "An experimental comparison of click position-bias models", WSDM 2008; ours
goes on after a click, as people do in a shop.
"""

from dataclasses import dataclass

import numpy as np

from recsys.datasets.shop_world.items import Floats, Ints
from recsys.datasets.shop_world.world import World


@dataclass(frozen=True)
class ClickModel:
    """The parameters of the module's formulas. most / least is how much better the best item does than the worst: it
    bounds any uplift, and is an assumption, not a measurement.
    """

    least: float = 0.03
    most: float = 0.12
    choosiness: float = 3.0
    patience: float = 0.9
    fatigue: float = 0.95

    def examined(self, n_places: int) -> Floats:
        return np.asarray(self.patience ** np.arange(n_places))

    def chance(self, appeal: Floats, shown_before: Ints) -> Floats:
        """(n,) probability of a click on items that are looked at; both arguments (n,)."""
        return np.asarray((self.least + (self.most - self.least) * appeal) * self.fatigue**shown_before)


class Appeal:
    """Appeal of every item in every mood on one day; (n_tastes, n_items) float64 in [0, 1]."""

    def __init__(self, world: World, model: ClickModel) -> None:
        self._world, self._choosiness = world, model.choosiness
        self._day: int | None = None
        self._today: Floats = np.empty((0, 0))

    def on(self, day: int) -> Floats:
        """Return the table of a day of the log (days may pass its end); the last one is cached."""
        if day != self._day:
            looked_at = self._world.pull * self._world.items.pace(day)
            ranks = looked_at.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") / looked_at.shape[1]
            self._today, self._day = np.asarray(ranks**self._choosiness), day
        return self._today
