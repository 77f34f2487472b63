"""Judging policies from logs: intervals hold the truth, and without support there is no answer."""

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.experiments.analysis import interleaving, off_policy
from recsys.experiments.analysis.off_policy import Log
from recsys.experiments.online.team_draft import team_draft


def bandit(n: int, seed: int) -> tuple[Log, float]:
    """A log of a uniform policy over 5 items, judged for one that prefers the best; and the truth."""
    chance = np.random.default_rng(seed)
    truth, new = np.array([0.1, 0.2, 0.3, 0.2, 0.1]), np.array([0.1, 0.1, 0.6, 0.1, 0.1])
    unit = chance.integers(0, n // 4, n)
    shift = chance.normal(0, 0.05, n // 4)[unit]
    item = chance.integers(0, 5, n)
    reward = (chance.random(n) < np.clip(truth[item] + shift, 0, 1)).astype(float)
    guess = truth * 0.8 + 0.03
    return Log(reward, np.full(n, 0.2), new[item], unit, guess[item], np.full(n, new @ guess)), float(new @ truth)


@pytest.mark.parametrize("method", ["ips", "snips", "dr"])
def test_off_policy_intervals_cover_the_truth(method: str) -> None:
    covered = []
    for seed in range(150):
        log, truth = bandit(2000, seed)
        found = off_policy.estimate(log, method)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) >= 0.90


def test_the_same_policy_is_worth_its_mean() -> None:
    log, _ = bandit(2000, 1)
    same = Log(log.reward, log.propensity, log.propensity, log.unit)
    for method in ("ips", "snips"):
        found = off_policy.estimate(same, method)
        assert found.value == pytest.approx(log.reward.mean())
        assert found.effective == pytest.approx(2000)


def test_without_support_there_is_no_estimate() -> None:
    log, _ = bandit(2000, 1)
    nearly = np.zeros(2000)
    nearly[:20] = 0.2
    with pytest.raises(DataError, match="20 effective rows, expected 100"):
        off_policy.estimate(Log(log.reward, log.propensity, nearly, log.unit), "ips")
    propensity = log.propensity.copy()
    propensity[7] = 0
    with pytest.raises(DataError, match="1 of 2000 rows were logged with propensity 0"):
        off_policy.estimate(Log(log.reward, propensity, log.probability, log.unit), "snips")


def test_team_draft_is_fair_and_finds_the_better_one() -> None:
    lists = ([str(item) for item in range(10)], [str(item) for item in range(5, 15)])
    shown = [team_draft(*lists, 6, seed) for seed in range(2000)]
    assert all(len({item for item, _ in each}) == 6 for each in shown)
    first = np.mean([each[0][1] == "a" for each in shown])
    assert first == pytest.approx(0.5, abs=0.05)
    chance = np.random.default_rng(1)
    rows = [
        (str(number), team)
        for number, each in enumerate(shown)
        for _, team in each
        if chance.random() < (0.15 if team == "b" else 0.1)
    ]
    found = interleaving.preference(pl.DataFrame(rows, schema=["unit", "team"], orient="row"))
    assert found.low > 0
    same = [(unit, str(chance.choice(["a", "b"]))) for unit, _ in rows]
    none = interleaving.preference(pl.DataFrame(same, schema=["unit", "team"], orient="row"))
    assert none.p_value > 0.01
