"""The items of the shop: category, brand, taste vector, price, and demand over time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.datasets.shop_world.config import Config
from recsys.params import yaml_files

_FILE: dict[str, Any] = yaml_files.read(Path(__file__).with_name("words.yaml")).content
DEPARTMENTS: dict[str, dict[str, tuple[float, list[str]]]] = _FILE["departments"]  # sub-category -> price, nouns
STYLES: dict[str, tuple[list[str], list[str]]] = _FILE["styles"]  # words, brands
COLOURS: list[str] = _FILE["colours"]
PRAISE: list[str] = _FILE["praise"]


Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DIM = 16
N_DEPARTMENTS, N_STYLES = len(DEPARTMENTS), len(STYLES)
SUBS = [(department, sub) for department, subs in DEPARTMENTS.items() for sub in subs]
BRANDS = [(style, brand) for style, (_, brands) in STYLES.items() for brand in brands]
SUB_DEPARTMENT = np.array([list(DEPARTMENTS).index(department) for department, _ in SUBS])
SUB_PRICE = np.array([DEPARTMENTS[department][sub][0] for department, sub in SUBS])

ZIPF_EXPONENT, ZIPF_OFFSET = 0.9, 10.0
SUB_PART, BRAND_PART, OWN_PART = 0.6, 0.4, 0.7  # weights in an item's vector; department and style have 1
LEAVING_SHARE = 0.04
YEAR_DAYS = 365.0


def drawn(weights: Floats, group: Ints, uniform: Floats) -> Ints:
    """Draw a column of `weights` (n_groups, n) for each entry of `group`, a row number, in proportion to the weights in
    that row; return the column numbers. uniform: one number in [0, 1) per draw."""
    shares = np.cumsum(weights, axis=1)
    shares /= shares[:, -1:]
    shares += np.arange(len(shares))[:, None]  # row k is in [k, k + 1), so that one binary search serves all rows
    found = np.searchsorted(shares.ravel(), group + uniform, side="right")
    return np.asarray(np.minimum(found - group * shares.shape[1], shares.shape[1] - 1))


@dataclass(frozen=True)
class Items:
    """The items of the shop: arrays with one entry per item, in random order. sub: position in SUBS; style: in STYLES;
    brand: in BRANDS. vectors: (n_items, DIM), unit length. popularity: Zipf, sums to 1. price_level: log of the price
    relative to its sub-category. arrives, leaves: days since the log began, infinity for an item that stays.
    trend_days: period of the slow trend of its demand; trend_phase: part of a period that has passed on day 0;
    season_peak: day of the year with the highest demand; season_strength: 0 without seasons."""

    sub: Ints
    style: Ints
    brand: Ints
    vectors: Floats
    popularity: Floats
    price: Floats
    price_level: Floats
    arrives: Floats
    leaves: Floats
    trend_days: Floats
    trend_phase: Floats
    season_peak: Floats
    season_strength: Floats

    def __len__(self) -> int:
        return len(self.sub)

    def pace(self, day: int) -> Floats:
        """Return (n_items,) factor of an item's popularity on a day; 0 before it arrives and after it leaves. New items
        have higher demand for some weeks, old ones decay; items have slow trends, and sub-categories seasons."""
        age = day - self.arrives
        fresh = 0.3 + 0.7 * np.exp(-np.maximum(age, 0.0) / 120.0) + 1.5 * np.exp(-np.maximum(age, 0.0) / 7.0)
        trend = np.exp(0.8 * np.sin(2 * np.pi * (day / self.trend_days + self.trend_phase)))
        season = np.exp(self.season_strength * np.cos(2 * np.pi * (day - self.season_peak) / YEAR_DAYS))
        return fresh * trend * season * ((age >= 0) & (day < self.leaves))


def unit(vectors: Floats) -> Floats:
    """Scale vectors to length 1 along the last axis."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def draw(config: Config, departments: Floats, styles: Floats, rng: np.random.Generator) -> Items:
    """Draw the items; departments (N_DEPARTMENTS, DIM), styles (N_STYLES, DIM): centres of their vectors."""
    n = config.items
    sub, brand = rng.integers(len(SUBS), size=n), rng.integers(len(BRANDS), size=n)
    style = brand // (len(BRANDS) // N_STYLES)
    sub_vectors, brand_vectors = (unit(rng.normal(size=(count, DIM))) for count in (len(SUBS), len(BRANDS)))
    vectors = departments[SUB_DEPARTMENT[sub]] + styles[style] + SUB_PART * sub_vectors[sub]
    vectors += BRAND_PART * brand_vectors[brand] + OWN_PART * unit(rng.normal(size=(n, DIM)))
    popularity = 1.0 / (rng.permutation(n) + ZIPF_OFFSET) ** ZIPF_EXPONENT
    brand_level = rng.normal(0.0, 0.3, size=len(BRANDS))
    price_level = brand_level[brand] + rng.normal(0.0, 0.3, size=n)
    arrives = -np.ceil(rng.exponential(300.0, size=n))
    new = rng.permutation(n)[: int(config.new_item_share * n)]
    arrives[new] = rng.integers(1, config.days, size=len(new))
    leaves = np.full(n, np.inf)
    leaving = rng.permutation(n)[: int(LEAVING_SHARE * n)]
    leaves[leaving] = rng.uniform(np.maximum(arrives[leaving] + 1, 1), config.days)
    return Items(
        sub=sub,
        style=style,
        brand=brand,
        vectors=unit(vectors),
        popularity=popularity / popularity.sum(),
        price=np.round(SUB_PRICE[sub] * np.exp(price_level), 2),
        price_level=price_level,
        arrives=arrives,
        leaves=leaves,
        trend_days=rng.uniform(40.0, 160.0, size=n),
        trend_phase=rng.uniform(size=n),
        season_peak=rng.uniform(0.0, YEAR_DAYS, size=len(SUBS))[sub],
        season_strength=rng.uniform(0.0, 1.0, size=len(SUBS))[sub],
    )
