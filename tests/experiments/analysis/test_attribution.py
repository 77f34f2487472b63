"""Client clocks, returns, and events of elsewhere: no arm is better or worse by how its clients tell the time."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from recsys.experiments.analysis import join, run
from recsys.experiments.analysis.effects import Effect
from recsys.experiments.analysis.log import Log
from recsys.experiments.analysis.readout import Readout
from tests.support.experiment_logs import answers, clickers, event, experiment, log_of, shown_at, trusted

N = 8_000


def effect(found: Readout, metric: str = "ctr") -> Effect:
    return next(each for each in found.effects if each.metric == metric)


def check(found: Readout, name: str) -> Any:
    return next(each for each in found.checks if name in each.name)


def clicks(slow_share: float, slow_seconds: float, *, named: bool, received: bool, spread: float = 0.0) -> Log:
    """Both arms click alike; clicks of b come 0.8 s after the answer, those of a after 4 s; some clocks are slow."""
    draw, rows = np.random.default_rng(3), []
    for number in clickers(N, 0.3):
        wait = 0.8 if number % 2 else 4.0
        wrong = (-slow_seconds if draw.random() < slow_share else 0.0) + draw.uniform(-spread, spread)
        arrival: dict[str, Any] = {"received": shown_at(number) + timedelta(seconds=wait + 0.1)} if received else {}
        rows.append(event(number, after=min(wait + wrong, wait + 0.1), named=named, **arrival))
    return log_of(answers(N), rows)


@pytest.mark.parametrize("received", [True, False], ids=["server clock", "client clock only"])
@pytest.mark.parametrize("named", [True, False], ids=["request_id", "times only"])
@pytest.mark.parametrize(
    ("slow_share", "slow_seconds", "spread"),
    [(0.4, 1.5, 0.0), (0.6, 1.5, 0.0), (0.4, 9.0, 0.0), (0.0, 0.0, 5.0)],
    ids=["40 % slow by 1.5 s", "60 % slow by 1.5 s", "40 % slow by 9 s", "all wrong by up to 5 s"],
)
def test_clocks_make_no_difference(
    slow_share: float, slow_seconds: float, spread: float, named: bool, received: bool
) -> None:
    raw = clicks(slow_share, slow_seconds, named=named, received=received, spread=spread)
    found = run.of("x", experiment(), raw)
    assert trusted(found)
    assert found.decisions["b"][0] == "go on"
    assert effect(found).p_value > 0.3
    how = join.BY_REQUEST if named else join.BY_WINDOW
    assert found.outcomes == {how: raw.events.height}


@pytest.mark.parametrize("slow_seconds", [30.0, 600.0, 3 * 3600.0])
def test_an_answer_that_is_named_needs_no_clock(slow_seconds: float) -> None:
    found = run.of("x", experiment(), clicks(0.6, slow_seconds, named=True, received=False))
    assert trusted(found)
    assert effect(found).p_value > 0.3


@pytest.mark.parametrize(("slow_seconds", "received"), [(12.0, False), (30.0, False), (600.0, False), (30.0, True)])
def test_clicks_that_slow_clocks_lose_are_noticed(slow_seconds: float, received: bool) -> None:
    """Without a request_id and beyond the tolerance nobody can tell: the readout says so, and names the share."""
    found = run.of("x", experiment(), clicks(0.6, slow_seconds, named=False, received=received))
    assert not trusted(found)
    assert check(found, "lost by slow clocks").found > 0.2
    assert found.decisions["b"][0] == "stop"
    assert "not to be trusted: clicks before their answer" in found.decisions["b"][1]
    assert found.outcomes[join.EARLY] > 400


def test_the_tolerated_skew_is_a_setting_that_the_readout_names() -> None:
    raw = clicks(0.6, 30.0, named=False, received=False)
    found = run.of("x", experiment(clock_skew_seconds=60), raw)
    assert trusted(found)
    assert "wrong by 60 s" in found.attribution
    strict = run.of("x", experiment(clock_skew_seconds=0), clicks(0.6, 1.5, named=False, received=False))
    assert not trusted(strict)


def test_few_lost_clicks_that_would_turn_the_decision_are_no_ground_for_one() -> None:
    """Under 1 % of the clicks are lost, all of them in b, and just those make the difference."""
    rows = [event(number, named=False) for number in range(0, N, 2)]  # every unit of a clicked, and b nearly alike
    rows += [event(number, named=False, after=3.0 if number > 100 else -30.0) for number in range(1, N, 2)]
    found = run.of("x", experiment(planned_units=N, arms=BOTH), log_of(answers(N), rows))
    assert check(found, "lost by slow clocks").passed
    assert not check(found, "decisions that change").passed
    assert found.decisions["b"][0] == "stop"
    assert "not to be trusted: decisions that change when" in found.decisions["b"][1]


BOTH = {"a": {"variant": "als", "weight": 0.5}, "b": {"variant": "popular", "weight": 0.5}}


def test_events_that_come_late_are_dated_by_the_better_clock() -> None:
    """A phone without a net delivers two days later: its clock says when the click was, to the tolerated skew."""
    two_days: dict[str, Any] = {"received": shown_at(1) + timedelta(days=2)}
    in_time = event(1, after=60.0, **two_days)
    late = event(2, after=26 * 3600.0, received=shown_at(2) + timedelta(hours=26))
    slow = event(3, after=-20.0, received=shown_at(3) + timedelta(seconds=2))
    found = join.classify(answers(4), log_of(answers(4), [in_time, late, slow]).cleaned()[0].events, join.Rule(24))
    assert dict(found.select("unit", "how").iter_rows()) == {
        "u1": join.BY_REQUEST,
        "u2": join.TOO_LATE,
        "u3": join.BY_REQUEST,
    }


def test_clicks_on_answers_outside_of_the_experiment_are_none_of_its_business() -> None:
    """A unit's clicks on other surfaces, and those of people who take no part, fail no check and join no answer."""
    mine = [event(number) for number in clickers(N, 0.3)]
    other = [
        event(number, event_id=f"o{number}", request_id=f"other{number}", elsewhere=True, received=shown_at(number + 1))
        for number in range(0, N, 2)
    ]
    strangers = [
        event(number, event_id=f"s{number}", unit=f"stranger{number}", request_id=f"s{number}") for number in range(N)
    ]
    found = run.of("x", experiment(), log_of(answers(N), [*mine, *other, *strangers]))
    assert trusted(found)
    assert found.outcomes == {join.BY_REQUEST: len(mine), join.ELSEWHERE: len(other)}
    assert effect(found).p_value > 0.3


def test_one_request_id_for_several_units_joins_each_to_its_own() -> None:
    shown = answers(400, request_id="the same for all")
    rows = [event(number, request_id="the same for all") for number in range(0, 400, 4)]
    found = run.of("x", experiment(), log_of(shown, rows))
    assert effect(found).control == pytest.approx(1 / 6)
    assert effect(found).value == 0


def sold(back: Any, share: float = 0.25, n: int = 4000, *, received: bool = False) -> Readout:
    """Both arms buy alike; back: what unit `number` of b, who bought or not, does afterwards (events)."""
    buyers = set(clickers(n, share, seed=0))
    rows = [event(number, "purchase", 10.0, 60.0) for number in buyers]
    for number in range(1, n, 2):
        rows += back(number, number in buyers)
    if received:
        rows = [{**row, "received": row["timestamp"] + timedelta(seconds=1)} for row in rows]
    return run.of("x", experiment(primary="conversion"), log_of(answers(n), rows))


@pytest.mark.parametrize("received", [True, False])
@pytest.mark.parametrize(
    "back",
    [
        lambda u, bought: [event(u, "purchase", -10.0, 120.0, event_id=f"back{u}")],
        lambda u, bought: [event(u, "return", 10.0, 120.0)] if bought else [],
        lambda u, bought: [event(u, "return", 10.0, 86_400.0 * 20, named=False)] if bought else [],
        lambda u, bought: [event(u, "return", 10.0, 30.0, event_id=f"r{u}-{k}") for k in range(3)],
    ],
    ids=["negative purchases of everybody", "returns", "returns after weeks, without a request_id", "returns before"],
)
def test_a_return_is_no_conversion(back: Any, received: bool) -> None:
    found = sold(back, received=received)
    assert trusted(found)
    assert found.decisions["b"][0] == "go on"
    assert effect(found, "conversion").p_value > 0.1
    assert effect(found, "conversion").value == pytest.approx(0.25, abs=0.03)


def test_revenue_is_net_of_what_is_given_back() -> None:
    half = sold(lambda u, bought: [event(u, "return", 5.0, 86_400.0 * 9, named=False)] if bought else [])
    revenue, conversion = effect(half, "revenue"), effect(half, "conversion")
    assert revenue.value == pytest.approx(5 * conversion.value)
    assert revenue.control == pytest.approx(10 * conversion.control)
    all_of_it = sold(lambda u, bought: [event(u, "purchase", -10.0, 120.0, event_id=f"back{u}")])
    assert effect(all_of_it, "revenue").value == 0
    assert all_of_it.outcomes[join.NO_PURCHASE] > 1000  # of those who bought nothing


def test_goods_bought_elsewhere_and_returned_are_no_loss_of_an_arm() -> None:
    found = sold(lambda u, bought: [event(u, "return", 500.0, 500.0, item_id="i9", named=False)])
    assert effect(found, "revenue").value == pytest.approx(10 * effect(found, "conversion").value)
