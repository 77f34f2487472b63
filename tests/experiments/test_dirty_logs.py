"""The benchmark of dirty logs at toy size: every kind of log is read, trusted, and counted without its dirt."""

from benchmarks.experiments import dirty
from benchmarks.experiments.dirty_logs import Dirt, make
from recsys.experiments.analysis import population, run
from tests.support.experiment_logs import experiment


def test_every_kind_of_log_is_trusted() -> None:
    found = dirty.dirty(a_a=5, a_b=5, units=1500)
    for part in ("a_a", "a_b"):
        assert set(found[part]["by_kind_of_log"]) == set(dirty.KINDS)
        assert found[part]["untrusted"] == 0
    assert found["a_a"]["interval_holds_the_truth"] >= 0.6


def test_the_dirt_is_in_the_log_and_out_of_the_figures() -> None:
    raw = make(experiment(), "home", 1500, 0.0, Dirt(clock_seconds=5.0), seed=1)
    found = run.of("home", experiment(), raw)
    assert found.left_out[population.BY_HAND] == 30
    assert found.cleaned["events delivered twice"] > 10
    assert found.cleaned["events delivered twice, under other ids"] > 10
    assert found.outcomes["returns, by their purchase"] > 10
    assert found.effects[0].value < 0.3  # testers click on nine of ten
