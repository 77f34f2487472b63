"""Anything that the API accepts is in the store, is trainable and changes the next answer; what it refuses changes
nothing.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recsys.data.prepare import prepare
from recsys.datasets import events
from recsys.schemas.field_limits import DEFAULT_WEIGHTS
from serving.settings import Settings
from tests.data.test_prepare import settings as dataset
from tests.support import bundles
from tests.support.apps import Start, new_store, until_ready

TABLES = ("events", "dead_letters", "person_items", "items", "identities", "merges")
SIGNS = ["\0", "\n", "\x85", "\u200b", "\u00a0", "e\u0301", "\ufeff", " "]
GOOD_TIMES = ["1990-01-01T00:00:00Z", "2024-03-01T12:00:00.123457-11:30", "2099-12-31T23:59:59.999999Z"]
BAD_TIMES = ["1970-01-01T00:00:00Z", "1990-01-01T00:00:00+14:00", "9999-12-31T23:59:59.9999999Z", "soon", 5]


def mostly(good: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One in ten is odd."""
    return st.integers(0, 9).flatmap(lambda number: good if number else odd)


letters = st.text("abcXYZ019-_./'é日🫖", min_size=1, max_size=8)
odd_texts = st.builds("{}{}{}".format, letters | st.just(""), st.sampled_from(SIGNS), letters | st.just(""))
ids = mostly(
    st.sampled_from(["zoe", "max", "cookie", "x" * 246, "é" * 246]) | letters,
    odd_texts | st.sampled_from(["x" * 256, "x" * 257, "", None, 7]),
)
texts = mostly(letters | st.just(""), odd_texts | st.sampled_from(["t" * 1000, "t" * 1001]))
item_ids = st.one_of(st.sampled_from(bundles.ITEM_IDS), st.sampled_from(bundles.ITEM_IDS), ids)
times = mostly(st.sampled_from(GOOD_TIMES), st.sampled_from(BAD_TIMES))
numbers = mostly(st.floats(-1e12, 1e12) | st.sampled_from([0, 5]), st.floats() | st.sampled_from([1.1e12, "5", True]))
posted = st.fixed_dictionaries(
    {
        "item_id": item_ids,
        "event": mostly(st.sampled_from([*DEFAULT_WEIGHTS, "rating"]), st.sampled_from(["wave", ""])),
        "user_id": ids,
    },
    optional={
        "anonymous_id": ids, "event_id": st.sampled_from(["1", "2", "3"]) | ids, "value": numbers, "timestamp": times,
        "request_id": ids,
    },
)  # fmt: skip
guests = posted.map(lambda event: {**event, "user_id": None, "anonymous_id": event["user_id"]})
described = st.fixed_dictionaries(
    {"item_id": item_ids},
    optional={
        "title": texts, "text": texts, "categories": st.lists(texts, max_size=3),
        "price": mostly(st.floats(0, 1e12), numbers), "available": st.booleans(), "first_seen": times,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def door(
    start: Start, bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, Path]]:
    folder = tmp_path_factory.mktemp("door")
    with start(Settings(bundle=bundle_folder, store_url=new_store(folder))) as client:
        yield until_ready(client), folder


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(folder / "events.sqlite"))) as database:
        database.set_busy_timeout(10_000)
        return database.execute(query).fetchall()


def everything(folder: Path, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted(rows(folder, f"SELECT * FROM {table}"), key=repr) for table in tables}


def emptied(folder: Path) -> None:
    for table in TABLES:
        rows(folder, f"DELETE FROM {table}")


def trained(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Interactions and items as the next training has them, and how many rows were refused."""
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name) / "raw", Path(name) / "tables"
        raw.mkdir()
        out.mkdir()
        config = events.Config(url=f"sqlite:///{folder}/events.sqlite")
        events.fetch(config, raw, 0)
        weights = {**DEFAULT_WEIGHTS, "rating": 0.0}
        report = prepare(events.tables(config, raw), "events", dataset(weights), out)
        kept, items = (pl.read_parquet(out / f"{table}.parquet") for table in ("interactions", "items"))
        return kept, items, report.interactions.rejected + report.items.rejected


def answers(client: TestClient, who: dict[str, Any]) -> set[str]:
    body = {**who, "k": 100, "variant": "popular"}
    return {item["item_id"] for item in client.post("/v1/recommend", json=body).json()["items"]}


quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def send(client: TestClient, method: str, path: str, body: Any) -> Any:
    """As some clients send: NaN, infinity and half of a surrogate pair in the JSON."""
    return client.request(method, path, content=json.dumps(body), headers={"content-type": "application/json"})


TWICE = {"user_id": "zoe", "item_id": "garden-10", "event": "view", "timestamp": GOOD_TIMES[1]}
GUEST = {"anonymous_id": "x" * 256, "item_id": "garden-10", "event": "view"}


@quick
@example(batch=[TWICE, TWICE], wrap="list")
@example(batch=[GUEST], wrap="list")
@example(batch=[{**TWICE, "timestamp": BAD_TIMES[0]}], wrap="list")
@example(batch=[{**TWICE, "event": "purchase", "value": -5.0}], wrap="one")
@given(batch=st.lists(posted | guests, min_size=1, max_size=5), wrap=st.sampled_from(["list", "envelope", "one"]))
def test_events(door: tuple[TestClient, Path], batch: list[dict[str, Any]], wrap: str) -> None:
    client, folder = door
    emptied(folder)
    batch = batch[:1] if wrap == "one" else batch
    response = send(client, "POST", "/v1/events", {"list": batch, "envelope": {"events": batch}, "one": batch[0]}[wrap])
    assert response.status_code in (200, 422), response.text
    if response.status_code == 422:
        assert not any(everything(folder, *TABLES).values())
        return
    answer = response.json()
    refused = {row["index"] for row in answer["rejected"]}
    assert answer["accepted"] + answer["duplicates"] + len(refused) == len(batch)
    stored = rows(folder, "SELECT user_id, anonymous_id, item_id, event, value FROM events")
    assert len(stored) == answer["accepted"]
    assert rows(folder, "SELECT count(*) FROM dead_letters") == [(len(refused),)]
    taken = [event for at, event in enumerate(batch) if at not in refused]
    sent = {
        tuple(event.get(name) for name in ("user_id", "anonymous_id", "item_id", "event", "value")) for event in taken
    }
    assert set(stored) <= sent
    if stored:
        interactions, items, n_refused = trained(folder)
        assert (interactions.height, n_refused) == (len(stored), 0), "what is accepted is trainable"
        assert {event["item_id"] for event in taken} <= set(items["item_id"])
    for event in taken:
        who = {"user_id": event["user_id"]} if event.get("user_id") else {"anonymous_id": event["anonymous_id"]}
        assert event["item_id"] not in answers(client, who)
    again = everything(folder, *TABLES)
    named = [event for event in taken if event.get("event_id")]
    if named:
        assert send(client, "POST", "/v1/events", named).json()["duplicates"] == len(named)
        assert everything(folder, *TABLES) == again, "sent again, it changes nothing"


@quick
@example(batch=[{"item_id": "lamp", "first_seen": moment} for moment in GOOD_TIMES])
@example(batch=[{"item_id": "lamp", "first_seen": BAD_TIMES[0]}])
@example(batch=[{"item_id": "lamp", "first_seen": BAD_TIMES[2]}])
@example(batch=[{"item_id": "lamp", "title": "t" * 1000}])
@given(batch=st.lists(described, min_size=1, max_size=4))
def test_items(door: tuple[TestClient, Path], batch: list[dict[str, Any]]) -> None:
    client, folder = door
    emptied(folder)
    response = send(client, "PUT", "/v1/items", batch)
    assert response.status_code in (200, 422), response.text
    if response.status_code == 422:
        assert not any(everything(folder, *TABLES).values())
        return
    named = {item["item_id"] for item in batch}
    views = [{"user_id": "zoe", "item_id": item_id, "event": "view"} for item_id in named]
    assert send(client, "POST", "/v1/events", views).json()["accepted"] == len(named)
    interactions, items, n_refused = trained(folder)
    assert (set(items["item_id"]), interactions.height, n_refused) == (named, len(named), 0)
    last = {item["item_id"]: item for item in batch}
    for row in items.iter_rows(named=True):
        for field in last[row["item_id"]].keys() & {"title", "text", "price", "available"}:
            assert row[field] == last[row["item_id"]][field]
