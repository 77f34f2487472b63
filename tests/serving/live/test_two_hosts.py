"""Two real hosts with folders of their own and one PostgreSQL, while everything changes and breaks."""

from pathlib import Path

import pytest

from benchmarks.stores import hosts
from benchmarks.stores.servers import Postgres
from tests.support import bundles


def test_two_hosts_agree_while_everything_changes(
    tmp_path: Path, bundle_folder: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_DEADLINE_MS", "1000")  # the machine of the tests has other things to do
    second = bundles.write(tmp_path / "second", made=bundles.vectors() * 2)
    found = hosts.measure(tmp_path, postgres, bundle_folder, second, seconds=4)
    assert found["failed"] == found["blocked_items_shown"] == found["units_in_two_arms"] == 0, found
    assert found["acknowledged_events"] > found["acknowledged_events_lost"] == 0, found
    assert found["exposures_in_arms"] > 0, found
    assert set(found["seconds_until_equal"]) == {
        "experiments", "rules", "more coverage", "no rules", "promote", "roll back",
    }  # fmt: skip
