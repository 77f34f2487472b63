"""The watcher compares the attributes of the users who ask with those of the weeks before; a replay asks with them."""

import json
from pathlib import Path

import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.contracts import SECONDS_PER_DAY, Query
from recsys.drift import canary, policies, recorded
from recsys.recommend.recommender import Recommender, Slate
from serving.api.schemas import RecommendRequest
from serving.engine.overlay import UserState
from serving.stores.protocol import Event
from serving.watch.cycle import DELAY_S, Watcher
from tests.serving.engine.test_query_builder import builder
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


def test_a_replay_asks_as_the_api_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user disliked an item after the training; the data have numbers as attributes, the request names one."""
    shop = bundle.load(bundles.write(tmp_path / "bundle"))
    users = shop.histories.users
    told = ['{"age":31,"plan":"free"}' if users.external_id(at) == "looker" else None for at in range(len(users))]
    monkeypatch.setattr(shop.histories, "_attributes", pl.Series(told, dtype=pl.String))
    when = bundles.NOW.timestamp() + 60
    by_api, _ = builder(shop).query(
        RecommendRequest(user_id="looker", attributes={"plan": "paid"}),
        UserState([Event("e", "looker", None, "kitchen-8", "dislike", None, when, None, when)]),
        float("inf"),
    )
    asked: list[Query] = []

    class Asked(Recommender):
        def recommend(self, query: Query, *_: object) -> Slate:
            asked.append(query)
            return super().recommend(query)

    monkeypatch.setattr(canary, "Recommender", Asked)
    dislike = recorded.StoredEvent("u:looker", "kitchen-8", "dislike", None, when, None, when)
    canary.replay(shop, shop, {"u:looker": {"plan": "paid"}}, [dislike])
    for query in asked:
        assert (query.user_id, query.now, query.attributes) == (by_api.user_id, by_api.now, by_api.attributes)
        for name in ("rows", "weights", "times"):
            assert getattr(query.history, name).tolist() == getattr(by_api.history, name).tolist()
    assert by_api.attributes == {"age": "31", "plan": "paid"}
    assert by_api.now == when
    assert len(asked) == 2
