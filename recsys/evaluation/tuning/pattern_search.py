"""Proposes the settings of each next trial: it varies the half-lives first, then one setting at a time.

Each setting has a position from 0 to 1 in its range (linear or logarithmic) and starts in the middle. A step up, or
else down, is kept if the score is better. After a round over all settings the steps are halved. With wide ranges and
few trials, random search rarely comes near the best settings.
Source: Hooke and Jeeves, "Direct search solution of numerical and statistical problems", JACM 1961.
"""

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

HALF_LIFE = "half_life_days"
HALF_LIVES = 6  # number of first trials, which only vary the half-life, from long to short
FIRST_STEP, LAST_STEP = 1 / 4, 1 / 64


def proposals(ranges: Mapping[str, BaseDistribution]) -> Generator[dict[str, Any], float, None]:
    """Yield the settings of the next trial; the caller sends its score into the generator. ranges: by setting."""
    best, most = dict.fromkeys(ranges, 0.5), -np.inf
    half_lives = [{**best, HALF_LIFE: at} for at in np.linspace(1, 0, HALF_LIVES).tolist()]
    for here in half_lives if HALF_LIFE in ranges else [best]:
        value = yield _settings(here, ranges)
        best, most = (here, value) if value > most else (best, most)
    step = FIRST_STEP
    while ranges and step >= LAST_STEP:
        for name in ranges:
            reach = step / 2 if name == HALF_LIFE else step  # the first trials have searched it
            for move in (reach, -reach):
                here = {**best, name: float(np.clip(best[name] + move, 0, 1))}
                value = yield _settings(here, ranges)
                if value > most:
                    best, most = here, value
                    break
        step /= 2


def _settings(places: Mapping[str, float], ranges: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return {name: _at(name, places[name], one) for name, one in ranges.items()}


def _at(name: str, place: float, one: BaseDistribution) -> Any:
    """Return the value at position `place` (0 to 1) of a setting's range."""
    if isinstance(one, CategoricalDistribution):
        return one.choices[round(place * (len(one.choices) - 1))]
    if not isinstance(one, FloatDistribution | IntDistribution):
        raise TypeError(f"setting {name!r}: cannot search {one}, expected a float or int range, or a list of choices")
    value = one.low * (one.high / one.low) ** place if one.log else one.low + place * (one.high - one.low)
    if one.step:
        value = one.low + round((value - one.low) / one.step) * one.step
    return int(value) if isinstance(one, IntDistribution) else float(min(value, one.high))
