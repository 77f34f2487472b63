"""The search by steps comes close to the best settings in few trials."""

from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from recsys.evaluation.tuning.pattern_search import proposals

RANGES: dict[str, BaseDistribution] = {
    "alpha": FloatDistribution(0.1, 50, log=True),
    "popularity": FloatDistribution(0.1, 0.5, step=0.05),
    "factors": IntDistribution(32, 160, step=32),
    "kind": CategoricalDistribution(["a", "b", "c"]),
    "half_life_days": FloatDistribution(0.02, 100_000, log=True),
}


def score(settings: dict[str, Any]) -> float:
    """Return the score, which is best at alpha 11, popularity 0.2, 128 factors, kind c and 30 days."""
    lost = abs(np.log(settings["alpha"] / 11)) + abs(np.log(settings["half_life_days"] / 30))
    lost += abs(settings["popularity"] - 0.2) + abs(settings["factors"] - 128) / 128 + (settings["kind"] != "c")
    return float(-lost)


def walk(trials: int) -> list[dict[str, Any]]:
    search = proposals(RANGES)
    found = [next(search)]
    while len(found) < trials:
        found.append(search.send(score(found[-1])))
    return found


def test_it_comes_close_in_few_trials_and_stays_in_the_ranges() -> None:
    tried = walk(45)
    best = max(tried, key=score)
    assert (best["factors"], best["kind"]) == (128, "c")
    assert 0.15 <= best["popularity"] <= 0.25
    assert 0.7 < best["alpha"] / 11 < 1.4
    assert 0.5 < best["half_life_days"] / 30 < 2
    assert walk(45) == tried
    for settings in tried:
        assert all(one._contains(one.to_internal_repr(settings[name])) for name, one in RANGES.items())


def test_half_lives_come_first_from_long_to_short() -> None:
    first = walk(6)
    half_lives = [settings["half_life_days"] for settings in first]
    assert half_lives == sorted(half_lives, reverse=True)
    assert (half_lives[0], half_lives[-1]) == (100_000, 0.02)
    assert len({settings["alpha"] for settings in first}) == 1


def test_steps_end_and_without_settings_there_is_one_trial() -> None:
    for ranges, n_trials in (({}, 1), ({"alpha": RANGES["alpha"]}, 11)):
        search = proposals(ranges)
        assert [next(search), *(search.send(0.0) for _ in range(n_trials - 1))]
        with pytest.raises(StopIteration):
            search.send(0.0)
