"""What hides an item for a person hides it for good, and every event counts once, from the door to the next bundle."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from msgspec import structs

from recsys.bundle import histories
from recsys.datasets import events
from serving import api_keys
from serving.engine.query_builder import QueryBuilder
from serving.settings import Settings
from serving.stores.protocol import Event
from tests.serving.api.test_events import ids, post, rows
from tests.support import bundles
from tests.support.apps import Start, new_store, until_ready

FEW = 20  # in place of 200


@pytest.fixture
def forgetful(start: Start, bundle_folder: Path, tmp_path: Path) -> Any:
    """An API that reads few of a user's latest events."""
    settings = Settings(
        bundle=bundle_folder, store_url=new_store(tmp_path), history_events=FEW, cache_url="memory", store_ms=2000
    )
    with start(settings) as client:
        yield until_ready(client)


def did(event: str, item_id: str, **who: str) -> dict[str, str]:
    return {"item_id": item_id, "event": event, **(who or {"user_id": "zoe"})}


def much(**who: str) -> list[dict[str, str]]:
    return [did("view", "garden-10", **who) for _ in range(FEW + 1)]


@pytest.mark.parametrize("event", ["purchase", "view", "cart", "dislike", "return"])
@pytest.mark.parametrize("who", [{"user_id": "zoe"}, {"anonymous_id": "cookie"}])
def test_what_a_person_met_is_not_shown_again_whatever_happened_since(
    forgetful: TestClient, event: str, who: dict[str, str]
) -> None:
    met = ids(forgetful, k=5, variant="popular")
    post(forgetful, [did(event, item_id, **who) for item_id in met])
    for variant in ("popular", "als"):
        assert not set(met) & set(ids(forgetful, **who, k=24, variant=variant))
    post(forgetful, much(**who))
    for variant in ("popular", "als", "mixed"):
        assert not {*met, "garden-10"} & set(ids(forgetful, **who, k=24, variant=variant))


def test_a_login_carries_what_the_guest_met(forgetful: TestClient) -> None:
    met = ids(forgetful, k=5, variant="popular")
    post(forgetful, [did("view", item_id, anonymous_id="cookie") for item_id in met])
    post(forgetful, much())
    assert set(met) & set(ids(forgetful, user_id="zoe", k=24, variant="popular"))
    forgetful.post("/v1/identity/merge", json={"anonymous_id": "cookie", "user_id": "zoe"})
    assert not set(met) & set(ids(forgetful, user_id="zoe", k=24, variant="popular"))
    forgetful.delete("/v1/users/zoe")
    assert set(met) & set(ids(forgetful, user_id="zoe", k=24, variant="popular"))


def test_an_old_event_that_arrives_late_hides_too_and_no_kept_answer_says_otherwise(forgetful: TestClient) -> None:
    post(forgetful, much())
    first = ids(forgetful, user_id="zoe", k=1, variant="popular")[0]
    long_ago = (datetime.now(UTC) - timedelta(days=300)).isoformat()
    post(forgetful, {**did("view", first), "timestamp": long_ago})
    assert first not in ids(forgetful, user_id="zoe", k=24, variant="popular")


def test_where_repeats_are_allowed_only_a_dislike_hides(start: Start, tmp_path: Path) -> None:
    folder = bundles.write(tmp_path / "bundle", allow_repeat=True)
    settings = Settings(bundle=folder, store_url=new_store(tmp_path), history_events=FEW, store_ms=2000)
    with start(settings) as client:
        until_ready(client)
        bought, disliked = ids(client, k=2, variant="popular")
        post(client, [did("purchase", bought), did("dislike", disliked)])
        for _ in range(2):
            shown = ids(client, user_id="zoe", k=24, variant="popular")
            assert bought in shown
            assert disliked not in shown
            post(client, much())
        session = [{"item_id": bought, "event": "dislike"}]
        assert bought not in ids(client, session=session, k=24, variant="popular")


def test_events_of_one_request_keep_their_order_and_their_number(shop: TestClient, tmp_path: Path) -> None:
    post(shop, [did("view", f"garden-{at}") for at in (12, 10, 11)] + [did("view", "garden-11")])
    stored = rows(tmp_path, "SELECT item_id, timestamp FROM events ORDER BY timestamp")
    assert [item_id for item_id, _ in stored] == ["garden-12", "garden-10", "garden-11", "garden-11"]
    assert len({timestamp for _, timestamp in stored}) == 4
    assert all(timestamp == round(timestamp * 1e6) / 1e6 for _, timestamp in stored)


def test_an_event_that_the_next_bundle_holds_does_not_count_twice(shop: TestClient, tmp_path: Path) -> None:
    """1,000 events with and without a client's time, as a training reads them and as the API reads the bundle."""
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_457, UTC)
    sent = [did("view", bundles.ITEM_IDS[at % 24], user_id="anna") for at in range(500)]
    sent += [
        {**did("view", bundles.ITEM_IDS[at % 24], user_id="anna"), "timestamp": (moment + at * MICRO).isoformat()}
        for at in range(500)
    ]
    assert post(shop, sent)["accepted"] == 1000
    engine = shop.app.state.service.engine()  # type: ignore[attr-defined]
    builder: QueryBuilder = engine._queries
    stored = [
        _event(row)
        for row in rows(tmp_path, "SELECT event_id, item_id, event, timestamp, received FROM events ORDER BY timestamp")
    ]
    config = events.Config(url=f"sqlite:///{tmp_path}/events.sqlite")
    (tmp_path / "raw").mkdir()
    events.fetch(config, tmp_path / "raw", 0)
    trained = events.tables(config, tmp_path / "raw").interactions.collect().sort("timestamp")
    position = {item_id: at for at, item_id in enumerate(bundles.ITEM_IDS)}
    trained = trained.with_columns(user_row=0, weight=1.0, item_row=pl.col("item_id").replace_strict(position))
    (tmp_path / "histories").mkdir()
    histories.write(trained, pl.DataFrame({"user_id": ["anna"]}), tmp_path / "histories")
    history = histories.Histories(tmp_path / "histories").of("anna")
    assert len(history) == 1000
    manifest = builder.bundle.manifest.model_copy(update={"trained_until": trained["timestamp"].max()})
    builder = replace(builder, bundle=replace(builder.bundle, manifest=manifest))
    assert builder._stored(stored, history) == []
    more = [*stored, *(structs.replace(event, event_id=f"x{at}") for at, event in enumerate(stored[:3]))]
    assert len(builder._stored(more, history)) == 3, "as often as it happened"


MICRO = timedelta(microseconds=1)


def _event(row: tuple[Any, ...]) -> Event:
    event_id, item_id, event, timestamp, received = row
    return Event(event_id, "anna", None, item_id, event, None, timestamp, None, received)


def test_one_event_id_stands_for_one_event(shop: TestClient) -> None:
    sent = [
        {"event_id": "order-7", **did("purchase", "garden-10"), "value": 9.9},
        {"event_id": "order-7", **did("purchase", "garden-11"), "value": 4.5},
        {"event_id": "order-7", **did("cart", "garden-12", user_id="max")},
        {"event_id": "order-8", **did("cart", "garden-12", user_id="max")},
        {"user_id": "max"},
    ]
    answer = post(shop, sent)
    assert (answer["accepted"], answer["duplicates"]) == (2, 0)
    assert [row["index"] for row in answer["rejected"]] == [1, 2, 4]
    assert "other content" in answer["rejected"][0]["reason"]
    assert post(shop, sent[:1]) == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert [row["index"] for row in post(shop, sent[1])["rejected"]] == [0]
    assert "garden-11" in ids(shop, user_id="zoe", k=24)


def test_two_keys_may_use_the_same_event_id(start: Start, bundle_folder: Path, tmp_path: Path) -> None:
    keys = dict(api_keys.new(name, api_keys.Scope) for name in ("web", "app"))
    settings = Settings(bundle=bundle_folder, store_url=new_store(tmp_path), api_keys="\n".join(keys.values()))
    with start(settings) as client:
        until_ready(client)
        for key, item_id in zip(keys, ("garden-10", "garden-11"), strict=True):
            headers = {"authorization": f"Bearer {key}"}
            body = {"event_id": "1", **did("view", item_id)}
            for outcome in ("accepted", "duplicates"):
                answer = client.post("/v1/events", json=body, headers=headers).json()
                assert answer[outcome] == 1, answer
    assert rows(tmp_path, "SELECT count(*) FROM events") == [(2,)]


def test_what_was_refused_for_its_event_id_is_kept_with_the_reason(shop: TestClient, tmp_path: Path) -> None:
    post(shop, [{"event_id": "1", **did("view", "garden-10")}, {"event_id": "1", **did("view", "garden-11")}])
    ((place, body),) = rows(tmp_path, "SELECT place, body FROM dead_letters")
    assert (place, json.loads(body)["item_id"]) == (1, "garden-11")
