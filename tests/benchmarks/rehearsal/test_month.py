"""The rehearsal at toy size: one day of a shop whose pipeline ran before, with two incidents."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from benchmarks.rehearsal import alerts, clock, incidents, workspace
from benchmarks.simulator.scrambled import personal
from tests.benchmarks.conftest import Results


@pytest.mark.chaos
@pytest.mark.skipif(bool(clock.missing()), reason=f"not installed: {', '.join(clock.missing())}")
def test_a_day_with_incidents(results: Results, pipeline: Path, tmp_path: Path, command: Callable[..., str]) -> None:
    prepared = tmp_path / "shop" / "prepared"
    shutil.copytree(pipeline, prepared, symlinks=True)
    shutil.rmtree(prepared / "bundle")
    personal(pipeline / "bundle", prepared / "bundle")  # of a model, which can be scrambled
    shutil.copytree(prepared / "bundle", prepared / "stale")
    (prepared / "shop").mkdir()
    for name, content in workspace.FILES.items():
        (prepared / name).write_text(yaml.safe_dump(content))
    (prepared / "params.yaml").write_text("")  # the night's run fails, which is an incident too
    settings = ["--days", 1, "--visits", 40, "--folder", tmp_path / "shop"]
    for name in ("rules emptied", "scrambled model promoted at once"):
        settings += ["--incident", name]
    command("benchmarks.rehearsal", *settings)
    found = results("rehearsal")
    by_name = {one["incident"]: one for one in found["report"]["incidents"]}
    assert by_name["rules emptied"]["right_in_time"], by_name
    assert by_name["scrambled model promoted at once"]["right_in_time"], by_name
    log = [entry["action"] for entry in found["months"]["incidents"]["releases"]]
    assert log == ["promote", "promote", "rollback"]
    assert [each["action"] for each in found["months"]["loop off"]["releases"]] == ["promote", "promote"]
    assert "RecsysRetrainFailed" in {one["what"] for one in found["report"]["false_alarms"]}
    page, picture = ((tmp_path / "results" / name).read_text() for name in ("rehearsal.md", "rehearsal.svg"))
    assert "| rules emptied | " in page
    assert "rules emptied" in picture


def test_a_frozen_store_stays_frozen_although_the_watcher_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incidents, "settle", lambda: None)
    file = tmp_path / "store.sqlite"
    store = sqlite3.connect(file, isolation_level=None, timeout=0.1)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("CREATE TABLE events (id)")
    with incidents.store_frozen(SimpleNamespace(store_file=file)):  # type: ignore[arg-type]
        sqlite3.connect(file).close()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.execute("INSERT INTO events VALUES (1)")
    store.execute("INSERT INTO events VALUES (1)")
    store.close()


def test_incidents_are_spread_over_the_month() -> None:
    planned = incidents.plan(seed=1, days=30)
    assert [one.incident.name for one in planned] != [one.incident.name for one in incidents.plan(seed=2, days=30)]
    assert {one.incident.name for one in planned} == {one.name for one in incidents.INCIDENTS}
    assert len(planned) >= 15
    assert all(24 <= one.begin <= 30 * 24 for one in planned)


def test_an_alert_fires_where_its_expression_held_long_enough() -> None:
    assert alerts._stretches([0, 120, 240, 600, 720], 240) == [(0, 240)]
    assert alerts._stretches([0, 120], 0) == [(0, 120)]
