"""What is read of a log and joined, in small: each answer and event is written out."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from recsys.experiments.analysis import join, log
from serving.stores import open_store
from serving.stores.protocol import Event, Exposed, Exposure
from tests.support.apps import new_store
from tests.support.experiment_logs import answers, event, experiment, log_of, shown_at

HOUR, DAY = 3600.0, 86_400.0
RULE = join.Rule(1, skew_seconds=10)


def test_a_store_is_read_from_ninety_days_before_the_first_answer_to_the_end_of_its_window(tmp_path: Path) -> None:
    url, until = new_store(tmp_path), time.time()
    first = until - HOUR
    shown = Exposure(
        request_id="q1",
        timestamp=first,
        unit="u1",
        user_id="u1",
        anonymous_id=None,
        experiment="home",
        variant="als",
        bundle_id="b",
        surface=None,
        segment="warm",
        propensity=0.5,
        items=[Exposed("i1", 1, 1.0, "als", None)],
        context={"arm": "a", "latency_ms": 3.0},
    )
    moments = {"long ago": first - 91 * DAY, "before": first - 89 * DAY, "click": until + 20 * HOUR}
    moments |= {"late": until + 24 * HOUR + 10}
    sent = [Event(name, "u1", None, "i1", "click", None, at, "q1", at) for name, at in moments.items()]

    async def write() -> None:
        store = await open_store(url)
        await store.add_exposures([shown])
        await store.add_events(sent)
        await store.close()

    asyncio.run(write())
    found = log.read(url, "home", experiment(), datetime.fromtimestamp(until, UTC))
    assert found.exposures.select("request_id", "unit", "arm", "forced").rows() == [("q1", "u1", "a", False)]
    assert found.before["event_id"].to_list() == ["before"]
    assert found.events.select("event_id", "elsewhere").rows() == [("click", False)]


def test_teams_and_places_of_an_answer_are_read_as_they_were_written() -> None:
    context = json.dumps({"arm": "a", "teams": ["a", "b"], "fallback": True, "latency_ms": 2.5})
    places = json.dumps([{"item_id": "i1", "propensity": 0.5, "source": "als"}, {"item_id": "i2"}])
    row = log._exposure(("q", "u", 3.0, "home", "warm", 1.0, places, context))
    assert row == (
        "q",
        "u",
        "a",
        "home",
        "warm",
        3.0,
        ["i1", "i2"],
        ["a", "b"],
        True,
        2.5,
        True,
        [0.5, None],
        ["als", None],
    )


def test_what_names_an_answer_of_another_experiment_is_marked() -> None:
    rows = [(name, "u", "click", "i", None, 1.0, "q", 2.0, mark) for name, mark in (("here", 0), ("there", 1))]
    found = log._events(iter(rows))
    assert found.select("event_id", "elsewhere").rows() == [("here", False), ("there", True)]
    assert found["received"].to_list() == [datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)] * 2


def test_unusable_amounts_of_events_and_answers_are_counted_together() -> None:
    shown = answers(3).with_columns(latency_ms=pl.Series([1.0, float("nan"), float("inf")]))
    sold = [event(0, "purchase", float("nan")), event(1, "purchase", 5.0)]
    _, counts = log_of(shown, sold).cleaned()
    assert counts["amounts that are no numbers"] == 3


def test_an_event_without_the_column_elsewhere_is_not_elsewhere() -> None:
    unnamed = log_of(answers(1), [event(0, named=False)]).cleaned()[0].events
    assert join.classify(answers(1), unnamed, RULE)["how"].to_list() == [join.BY_WINDOW]


def test_a_named_answer_counts_until_the_very_end_of_the_window() -> None:
    last = shown_at(0) + RULE.window
    kinds = {"click": last, "cart": last + timedelta(microseconds=1)}
    sent = [event(0, kind, timestamp=at, received=at) for kind, at in kinds.items()]
    how = join.classify(answers(1), log_of(answers(1), sent).cleaned()[0].events, RULE).select("event", "how").rows()
    assert how == [("click", join.BY_REQUEST), ("cart", join.TOO_LATE)]


def test_an_answer_of_exactly_the_budget_is_not_slow_and_who_did_nothing_before_has_done_nothing() -> None:
    shown = answers(3, latency_ms=100.0)
    none = join.classify(shown, log_of(shown, []).cleaned()[0].events, RULE)
    before = pl.DataFrame({"unit": ["u1", "u1"]})
    units = join.by_unit(shown, none, before, slow_ms=100.0)
    assert units.select("unit", "slow", "events_before").rows() == [("u0", 0, 0), ("u1", 0, 2), ("u2", 0, 0)]
    assert (
        join.by_unit(shown, none, before.clear(), slow_ms=99.9).select("slow", "events_before").rows() == [(1, 0)] * 3
    )
