"""The commands on a real store: the readout, the plan before there is traffic, and what other policies would earn."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.stores.servers import Postgres
from recsys.cli import app
from recsys.experiments.analysis import log, run
from recsys.experiments.online.config import Experiment
from recsys.schemas import channel
from serving.stores import open_store
from serving.stores.migrations import migrate
from serving.stores.protocol import Event, Exposed, Exposure
from tests.support.experiment_logs import HALVES, trusted

NOW = time.time()
DAY = 86_400.0
Fill = Callable[[list[Exposure], list[Event]], None]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with its tables."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path}/events.sqlite"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = server.emptied()
    migrate(made)
    return made


@pytest.fixture
def fill(url: str) -> Fill:
    """Writes as the API does."""

    async def write(exposures: list[Exposure], events: list[Event]) -> None:
        store = await open_store(url)
        try:
            await store.add_exposures(exposures)
            await store.add_events(events)
        finally:
            await store.close()

    return lambda exposures, events: asyncio.run(write(exposures, events))


def exposure(number: int, at: float, arm: str | None, **more: Any) -> Exposure:
    """Three items for user `number`; without an arm: an answer of no experiment."""
    items = more.pop("items", [Exposed(f"i{place}", place, 1.0, "als", None) for place in (1, 2, 3)])
    given = {
        "request_id": f"q{number}",
        "timestamp": at,
        "unit": f"u{number}",
        "user_id": f"u{number}",
        "anonymous_id": None,
        "experiment": "home" if arm else None,
        "variant": "als",
        "bundle_id": "b",
        "surface": "home",
        "segment": "warm",
        "propensity": 0.5 if arm else 1.0,
        "items": items,
        "context": {"arm": arm, "fallback": False, "latency_ms": 12.0, "teams": []},
    }
    return Exposure(**{**given, **more})


def event(number: int, at: float, kind: str = "click", value: float | None = None, **more: Any) -> Event:
    given = {
        "event_id": f"{kind}{number}",
        "user_id": f"u{number}",
        "anonymous_id": None,
        "item_id": "i1",
        "event": kind,
        "value": value,
        "timestamp": at,
        "request_id": f"q{number}",
        "received": at,
    }
    return Event(**{**given, **more})


def command(folder: Path, url: str, *arguments: str, code: int = 0, **experiment: Any) -> str:
    """What `recsys experiment ...` prints."""
    config = folder / "experiments.yaml"
    config.write_text(yaml.safe_dump({"experiments": {"home": {"arms": HALVES, **experiment}}}, sort_keys=False))
    done = CliRunner().invoke(app, ["experiment", *arguments, "--config", str(config), "--store", url])
    assert done.exit_code == code, done.output
    return done.output


def test_the_readout_goes_by_the_servers_clock_and_leaves_out_testers(tmp_path: Path, url: str, fill: Fill) -> None:
    start = NOW - 30 * DAY
    exposures = [exposure(number, start + number, "ab"[number % 2]) for number in range(400)]
    testers = [exposure(number, start + number, "b", propensity=1.0) for number in range(400, 410)]
    other = exposure(2, start + 500, None, request_id="another answer")
    clicks = [  # phones of b are a minute slow
        event(number, start + number - (60 if number % 2 else -3), received=start + number + 3)
        for number in range(400)
        if number % 3 == 0
    ]
    testing = [event(number, start + number + 1) for number in range(400, 410)]
    bought = [event(number, start + number + 60, "purchase", 20.0) for number in range(0, 400, 10)]
    back = [event(0, start + 25 * DAY, "return", 20.0, request_id=None)]
    elsewhere = [event(2, start + 510, event_id="elsewhere", request_id="another answer")]
    fill([*exposures, *testers, other], [*clicks, *testing, *bought, *back, *elsewhere])
    experiment = Experiment.model_validate({"arms": HALVES, "end": "2100-01-01T00:00:00Z"})
    found = run.of("home", experiment, log.read(url, "home", experiment))
    assert trusted(found)
    assert found.units == {"a": 200, "b": 200}
    assert found.left_out == {"put into an arm by hand": 10}
    assert found.outcomes == {
        "by request id": 134 + 40,
        "returns, by their purchase": 1,
        "names an answer outside of the experiment": 1,
    }
    revenue = next(effect for effect in found.effects if effect.metric == "revenue")
    assert revenue.control * 200 == pytest.approx(39 * 20.0)  # 40 are of a, and one gave the goods back
    text = command(tmp_path, url, "readout", "home", "--out", str(tmp_path / "out"))
    assert "10 put into an arm by hand" in text
    assert "174 by request id, 1 returns, by their purchase; not attributed: 1 names an answer outside" in text


def test_a_plan_from_rates_needs_no_store(tmp_path: Path) -> None:
    """(1.960 + 0.842)^2 = 7.849: for a tenth more of 5 % an arm has 7.849 * 2 * 0.05 * 0.95 / 0.005^2 = 29,826."""
    absent = "sqlite:///nowhere/at-all.sqlite"
    rates = ["--rate", "0.05", "--units-per-day", "2000"]
    text = command(tmp_path, absent, "plan", "home", *rates, primary="conversion", minimum_effect=0.1)
    assert "59,652 units, about 29.8 days" in text
    assert "planned_units: 59652" in text
    text = command(tmp_path, absent, "plan", "home", "--rate", "40", "--spread", "60", primary="revenue")
    assert "28,256 units" in text  # 2 * 7.849 * 2 * (60 / 2)^2
    assert "between 0 and 1; for other metrics add --spread" in command(
        tmp_path, absent, "plan", "home", "--rate", "40", code=1
    )
    assert "at-all.sqlite: no such file; set RECSYS_STORE_URL" in command(tmp_path, absent, "plan", "home", code=1)


def test_a_plan_before_there_is_traffic_is_made_from_the_history(tmp_path: Path, url: str, fill: Fill) -> None:
    text = command(tmp_path, url, "plan", "home", code=1)
    assert "'ctr': the log has fewer than two units, or all have the same value" in text
    assert "--rate 0.05 --units-per-day 1000" in text
    fill([], [event(number, NOW - number * 60, "purchase" if number % 5 else "view", 9.0) for number in range(400)])
    text = command(tmp_path, url, "plan", "home", primary="conversion")
    assert "at the rate of 400 events of the last 90 days" in text
    assert "'ctr'" in command(tmp_path, url, "plan", "home", code=1)
    answers = [exposure(number, NOW - DAY * 5 + number * 600, None) for number in range(500)]
    elsewhere = [exposure(number, NOW - 60, None, surface="cart") for number in range(1000, 1400)]
    clicks = [event(number, NOW - DAY * 5 + number * 600 + 9, event_id=f"c{number}") for number in range(0, 500, 4)]
    fill([*answers, *elsewhere], clicks)
    text = command(tmp_path, url, "plan", "home", targeting={"surfaces": ["home"]})
    assert "at the rate of 500 answers of the last 90 days" in text
    text = command(tmp_path, url, "plan", "home", primary="conversion", targeting={"surfaces": ["home"]}, code=1)
    assert "'conversion': the log has fewer than two units" in text, (
        "none after an answer, and first visits are a guess"
    )
    fill([exposure(number, NOW - 9000 + number, "ab"[number % 2]) for number in range(2000, 2050)], [])
    assert "at the rate of 550 answers" in command(tmp_path, url, "plan", "home", targeting={"surfaces": ["home"]})
    fill([], [event(number, NOW - 8990 + number, event_id=f"n{number}") for number in range(2000, 2010)])
    assert "at the rate of the log of the experiment" in command(tmp_path, url, "plan", "home")


def explored(n: int) -> tuple[list[Exposure], list[Event]]:
    """Arm b explores its last place of two, one time in four, among five items; own ones are clicked more."""
    draw, exposures, events = np.random.default_rng(1), [], []
    for number in range(n):
        at = NOW - 10 * DAY + number * 60
        drawn = draw.random() < 0.25
        last = (
            Exposed(f"r{draw.integers(5)}", 2, 1.0, "explore", 0.05) if drawn else Exposed("own", 2, 1.0, "als", 0.75)
        )
        exposures.append(exposure(number, at, "b", items=[Exposed("i1", 1, 1.0, "als", 1.0), last]))
        if draw.random() < (0.1 if drawn else 0.3):
            events.append(event(number, at + 5, item_id=last.item_id))
    return exposures, events


def test_off_policy_on_the_log_of_an_exploring_arm(tmp_path: Path, url: str, fill: Fill) -> None:
    explore = {"epsilon": 0.25, "places": 1, "pool": 5, "max_share": 1.0}
    arms = {"a": HALVES["a"], "b": {**HALVES["b"], "explore": explore}}
    exposures, events = explored(3000)
    fill([*exposures, *[exposure(number, NOW - 5 * DAY, "a") for number in range(4000, 4100)]], events)
    assert "has no arm that explores" in command(tmp_path, url, "off-policy", "home", code=1)
    policy = tmp_path / "policy.parquet"
    ids = [(each.request_id, item.item_id) for each in exposures for item in each.items]
    pl.DataFrame(ids, schema=["request_id", "item_id"], orient="row").with_columns(
        probability=(pl.col("item_id") == "own") * 0.5 + (pl.col("item_id") == "r0") * 0.5
    ).write_parquet(policy)
    text = command(tmp_path, url, "off-policy", "home", "--policy", str(policy), arms=arms)
    assert "b: 3,000 slots" in text
    found = run.explored("home", Experiment.model_validate({"arms": arms}), log.read(url, "home", _any(arms)))["b"]
    own, random = (float(np.mean(found.filter(pl.col(name) > 0)["reward"].to_numpy())) for name in ("own", "random"))
    assert own == pytest.approx(0.3, abs=0.04)
    assert random == pytest.approx(0.1, abs=0.04)
    assert found.filter(pl.col("random") > 0)["random"].unique().to_list() == [pytest.approx(0.2)]
    assert f"the arm's own items, snips: {own:.4f}" in text
    assert f"random items of the pool, snips: {random:.4f}" in text
    assert f"{policy}, ips: " in text
    assert "both policies rarely show the same item" in command(
        tmp_path, url, "off-policy", "home", arms=arms, start=_recent()
    )


def _any(arms: dict[str, Any]) -> Experiment:
    return Experiment.model_validate({"arms": arms})


def _recent() -> str:
    """The last 90 minutes that hold exploring answers: too few to judge anything."""
    moment = time.gmtime(NOW - 10 * DAY + 2910 * 60)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)


def test_with_the_channel_its_experiments_are_read(
    tmp_path: Path, url: str, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill([exposure(number, NOW - 9000 + number, "ab"[number % 2]) for number in range(50)], [])
    monkeypatch.setenv(channel.VARIABLE, "store")
    put = {"experiments": {"home": {"arms": HALVES, "planned_units": 1234}}}
    assert "of 1,234 planned" not in command(tmp_path, url, "readout", "home", "--out", str(tmp_path / "file"))
    channel.put(url, "experiments", yaml.safe_dump(put))
    assert "of 1,234 planned" in command(tmp_path, url, "readout", "home", "--out", str(tmp_path / "channel"))
    channel.put(url, "experiments", "experiments: {}")
    assert "the experiments in the store: no experiment 'home'" in command(tmp_path, url, "readout", "home", code=1)
