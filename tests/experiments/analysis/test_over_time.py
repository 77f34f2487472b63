"""The effect at earlier moments: what a readout at that time would have said, in a band that narrows."""

from datetime import timedelta

import pytest

from recsys.experiments.analysis import run
from recsys.experiments.analysis.run import MOMENTS, over_time
from tests.support.experiment_logs import answers, clickers, event, experiment, log_of, shown_at

N = 2400


def test_the_last_moment_is_the_readout_and_an_earlier_one_is_the_readout_of_then() -> None:
    """b has more clicks; half of the clicks come a day after their answer."""
    rows = [event(u, after=3.0 if u % 4 < 2 else 86_400.0) for u in clickers(N, 0.2)]
    rows += [event(u, item_id="i2", event_id=f"second{u}") for u in clickers(N, 0.3, 5) if u % 2]
    raw, given = log_of(answers(N), rows), experiment(attribution_hours=48, planned_units=N)
    curve = over_time(raw, given, N)["b"]
    assert len(curve) == MOMENTS
    effect = next(each for each in run.of("x", given, raw).effects if each.metric == "ctr")
    last = curve[-1]
    assert (last.at, last.units, last.difference) == (shown_at(N - 1).timestamp(), N, effect.difference)
    assert (last.low, last.high) == pytest.approx((effect.anytime_low, effect.anytime_high), rel=1e-3)
    then = shown_at(0) + timedelta(minutes=N - 1) / 2
    half = log_of(answers(N // 2), [row for row in rows if row["timestamp"] <= then])
    before = next(each for each in run.of("x", given, half).effects if each.metric == "ctr")
    assert (curve[MOMENTS // 2 - 1].units, curve[MOMENTS // 2 - 1].difference) == (N // 2, before.difference)
    widths = [moment.high - moment.low for moment in curve]
    assert widths[0] > widths[MOMENTS // 2] > widths[-1]


def test_a_log_of_testers_alone_has_no_curve() -> None:
    assert over_time(log_of(answers(20, forced=True), []), experiment(), 20) == {"b": []}
