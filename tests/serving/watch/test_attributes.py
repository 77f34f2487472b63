"""The watcher compares the attributes of the users who ask with those of the weeks before."""

import json
from pathlib import Path

import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.contracts import SECONDS_PER_DAY
from recsys.drift import policies, recorded
from serving.watch.cycle import DELAY_S, Watcher
from tests.support import bundles

TODAY = 11 * SECONDS_PER_DAY


def test_an_attribute_that_an_app_sends_wrong_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the last day the app sends no country, over that of the data; before, those of the data count."""
    shop = bundle.load(bundles.write(tmp_path / "bundle"))
    users = [shop.histories.users.external_id(at) for at in range(len(shop.histories.users))]
    told = [json.dumps({"country": ["FR", "DE"][at % 2]}) for at in range(len(users))]
    monkeypatch.setattr(shop.histories, "_attributes", pl.Series(told, dtype=pl.String))
    sent, broken = json.dumps({"request": {"attributes": {"country": "?"}}}), [0.0]

    def read(_: Watcher, since: float, length: float) -> tuple[list[recorded.Recorded], list[recorded.StoredEvent]]:
        asked, where = sent if since == broken[0] else None, ("als", "b", "home", "warm")
        persons = [f"u:{user}" for user in users] + [f"a:{at}" for at in range(200)]
        return [recorded.Recorded(f"r{one}", one, since, *where, [], {}, asked) for one in persons], []

    monkeypatch.setattr(Watcher, "_read", read)
    watch = policies.Policies()
    assert Watcher("sqlite:///none", tmp_path)._weeks(shop, watch, TODAY + DELAY_S) == []
    broken[0] = TODAY - SECONDS_PER_DAY
    (found,) = Watcher("sqlite:///none", tmp_path)._weeks(shop, watch, TODAY + DELAY_S)
    assert found.kind == "requests"
    assert "attribute country moved by" in found.what
