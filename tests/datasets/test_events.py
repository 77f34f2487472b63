"""The store's events as a data set: whose they are, who is left out, what is known of the items; on both databases."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import apsw
import polars as pl
import psycopg
import pytest
from msgspec.structs import replace

from recsys.data.prepare import prepare
from recsys.data.raw_tables import RawTables
from recsys.datasets import events
from recsys.errors import DataError, SourceUnreachableError
from recsys.schemas.field_limits import packed_vector
from serving.stores import open_store
from serving.stores.migrations import migrate
from serving.stores.protocol import Event, Item
from serving.stores.store import Store
from tests.data.test_prepare import settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEIGHTS = {"view": 1.0, "purchase": 5.0}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    sqlite = f"sqlite:///{tmp_path}/events.sqlite"
    made = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres").emptied()
    migrate(made)
    return made


def use(url: str, *steps: Callable[[Store], Awaitable[object]]) -> None:
    async def run() -> None:
        store = await open_store(url)
        for step in steps:
            await step(store)
        await store.close()

    asyncio.run(run())


def event(number: int, user: str | None, guest: str | None = None, item: str = "kettle") -> Event:
    moment = NOON.timestamp() + number + 0.25
    return Event(f"{9 - number}", user, guest, item, "purchase", 2.5, moment, None, moment)


def read(url: str, folder: Path, **settings: object) -> RawTables:
    config = events.Config.model_validate({"url": url, **settings})
    folder.mkdir()
    events.fetch(config, folder, seed=0)
    return events.tables(config, folder)


def people(tables: RawTables) -> list[str]:
    return tables.interactions.collect()["user_id"].to_list()


def test_events_come_by_time_and_follow_merges(url: str, tmp_path: Path) -> None:
    sent = [event(0, "anna"), event(1, None, "cookie"), event(2, None, "tab", "teapot"), event(3, "ben", "cookie")]
    use(url, lambda store: store.add_events(sent), lambda store: store.merge("cookie", "anna"))
    tables = read(url, tmp_path / "raw")
    found = tables.interactions.collect()
    assert found.select("user_id", "item_id", "event", "value").rows() == [
        ("anna", "kettle", "purchase", 2.5),
        ("anna", "kettle", "purchase", 2.5),
        ("anonymous:tab", "teapot", "purchase", 2.5),
        ("ben", "kettle", "purchase", 2.5),
    ]
    assert found["timestamp"].to_list() == [NOON.replace(second=at, microsecond=250_000) for at in range(4)]
    assert people(read(url, tmp_path / "members", guests=False)) == ["anna", "anna", "ben"]


def test_items_are_what_was_put_and_what_occurs(url: str, tmp_path: Path) -> None:
    kettle = Item("kettle", "Blue kettle", "steel", ("kitchen", "tea"), 19.5, False, NOON.timestamp())
    use(
        url,
        lambda store: store.upsert_items([kettle, Item("unsold")]),
        lambda store: store.add_events([event(0, "anna"), event(1, "anna", item="teapot")]),
    )
    tables = read(url, tmp_path / "raw")
    items = tables.items.collect()
    assert items["item_id"].to_list() == ["kettle", "teapot", "unsold"]
    assert items.row(0, named=True) == {
        "item_id": "kettle", "title": "Blue kettle", "text": "steel", "categories": ["kitchen", "tea"], "price": 19.5,
        "available": False, "first_seen": NOON, "attributes": None, "notes": "", "derived": None,
    }  # fmt: skip
    assert tables.vectors is None
    assert items.row(1)[1:] == (*[None] * 8, True)  # only the event names it
    assert set(items.row(2)[1:]) == {None, ""}
    report = prepare(tables, "events", settings(WEIGHTS), tmp_path)
    assert (report.interactions.kept, report.items.kept, report.interactions.rejected) == (2, 3, 0)


def test_vectors_of_items_reach_the_training(url: str, tmp_path: Path) -> None:
    sent = {"kettle": [1.0, -0.5], "cup": [3.0, 4.0], "odd": [1.0], "teapot": None}
    items = [Item(name, vector=None if v is None else packed_vector(v)) for name, v in sent.items()]
    use(
        url,
        lambda store: store.upsert_items(items),
        lambda store: store.upsert_items([Item("kettle", title="Kettle")]),
        lambda store: store.add_events([event(0, "anna")]),
    )
    cell = "x'0000c07f'" if url.startswith("sqlite") else "'\\x0000c07f'"  # a NaN, from another program
    execute(url, f"UPDATE items SET vector = {cell} WHERE item_id = 'teapot'")
    report = prepare(read(url, tmp_path / "raw"), "events", settings(WEIGHTS), tmp_path)
    kept = pl.read_parquet(tmp_path / "vectors.parquet")
    assert dict(kept.rows()) == {"cup": [3, 4], "kettle": [1, -0.5]}
    assert report.items.notes == {"vector emptied: unreadable": 1}
    folder = earlier(tmp_path, ["carl"])
    vectors = {"item_id": ["kettle", "cup", "old"], "vector": [[9.0, 9.0]] * 3}
    schema = {"vector": pl.Array(pl.Float32, 2)}
    pl.DataFrame(vectors, schema_overrides=schema).write_parquet(folder / "vectors.parquet")
    found = read(url, tmp_path / "more", earlier=folder).vectors
    assert found is not None
    assert dict(found.collect().rows()) == {"cup": [3, 4], "kettle": [1, -0.5], "odd": [1], "old": [9, 9]}


def test_events_that_look_alike_are_all_kept(url: str, tmp_path: Path) -> None:
    same = [replace(event(0, "anna"), event_id=f"{at}") for at in range(5)]
    use(url, lambda store: store.add_events(same))
    report = prepare(read(url, tmp_path / "raw"), "events", settings(WEIGHTS), tmp_path)
    assert (report.interactions.kept, report.interactions.rejected) == (5, 0)
    with_earlier = read(url, tmp_path / "more", earlier=earlier(tmp_path, ["carl"]))
    assert not with_earlier.distinct, "what was there before may be in the store too"


def test_a_purchase_below_zero_is_read_as_the_return_it_was(url: str, tmp_path: Path) -> None:
    given_back = replace(event(1, "anna"), value=-9.5)
    use(url, lambda store: store.add_events([event(0, "anna"), given_back]))
    tables = read(url, tmp_path / "raw")
    report = prepare(tables, "events", settings({**WEIGHTS, "return": 0.0}), tmp_path)
    kept = pl.read_parquet(tmp_path / "interactions.parquet").select("event", "value", "weight")
    assert kept.rows() == [("purchase", 2.5, 5.0), ("return", 9.5, 0.0)]
    assert report.interactions.notes == {"event read as return": 1}


def test_a_cell_that_cannot_be_used_costs_no_training(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite"
    migrate(url)
    item = Item("kettle", "Blue kettle", None, ("kitchen",), 19.5, False, NOON.timestamp())
    use(url, lambda store: store.upsert_items([item]), lambda store: store.add_events([event(0, "anna")]))
    columns = "event_id, person, user_id, item_id, event, timestamp, received"
    for number, moment in enumerate(["'yesterday'", "9e999", "253402300800.0", "-1e300"]):
        execute(url, f"INSERT INTO events ({columns}) VALUES ('x{number}', 'u:zoe', 'zoe', 'cup', 'view', {moment}, 0)")
    bad = ["'garden', 1, NULL", "'{{}}', 1, NULL", "'[1]', 1, NULL", "NULL, 'cheap', NULL", "NULL, 9e999, 'soon'"]
    bad += ["NULL, NULL, 253402300800.0"]
    for number, cells in enumerate(bad):
        row = f"('p{number}', {number + 2}, x'00ff', NULL, {cells}, 1)"
        execute(
            url,
            f"INSERT INTO items (item_id, version, title, text, categories, price, first_seen, available) VALUES {row}",
        )
    report = prepare(read(url, tmp_path / "raw"), "events", settings(WEIGHTS), tmp_path)
    assert (report.interactions.kept, report.interactions.rejected) == (1, 4)
    items = pl.read_parquet(tmp_path / "items.parquet")
    assert items["item_id"].to_list() == ["kettle", *(f"p{number}" for number in range(len(bad)))]
    assert items["title"][0] == "Blue kettle"
    assert report.items.notes["categories emptied: unreadable"] == 3


def test_on_a_shared_device_only_the_forgotten_person_is_left_out(url: str, tmp_path: Path) -> None:
    use(
        url,
        lambda store: store.merge("tablet", "anna"),
        lambda store: store.forget("anna"),
        lambda store: store.add_events([event(0, "ben", "tablet"), event(1, None, "tablet"), event(2, "anna", "x")]),
    )
    assert people(read(url, tmp_path / "raw")) == ["ben"]


def test_the_forgotten_are_left_out_of_what_is_restored_and_of_what_was_before(url: str, tmp_path: Path) -> None:
    """A restored backup holds rows of users who were forgotten since; only their hashes are carried over."""
    use(url, lambda store: store.forget("anna"), lambda store: store.add_events([event(0, "ben")]))
    restored = "INSERT INTO events SELECT 'x', 'u:anna', 'anna', NULL, item_id, event, value, {}, NULL, 0 FROM events"
    execute(url, restored.format(NOON.timestamp()))
    assert people(read(url, tmp_path / "raw")) == ["ben"]
    folder = earlier(tmp_path, ["anna", "carl"])
    tables = read(url, tmp_path / "more", earlier=folder)
    assert people(tables) == ["carl", "ben"]
    assert "anna" not in str([pl.read_parquet(file).rows() for file in (tmp_path / "more").iterdir()])


def test_who_comes_back_after_the_forgetting_is_new(url: str, tmp_path: Path) -> None:
    late = Event("1", "anna", None, "kettle", "view", None, 4e9, None, 4e9)
    use(url, lambda store: store.forget("anna"), lambda store: store.add_events([late]))
    assert people(read(url, tmp_path / "raw")) == ["anna"]


def test_the_store_goes_on_where_earlier_tables_end(url: str, tmp_path: Path) -> None:
    use(
        url,
        lambda store: store.upsert_items([Item("kettle", price=5.0), Item("new", title="New")]),
        lambda store: store.add_events([event(0, "ben", item="new")]),
    )
    tables = read(url, tmp_path / "raw", earlier=earlier(tmp_path, ["carl"]))
    report = prepare(tables, "events", settings(WEIGHTS), tmp_path)
    assert report.interactions.kept == 2
    kept = pl.read_parquet(tmp_path / "interactions.parquet")
    assert kept.select("user_id", "weight").rows() == [("carl", 1.0), ("ben", 5.0)]
    items = pl.read_parquet(tmp_path / "items.parquet").select("item_id", "title", "price").rows()
    assert items == [("kettle", "Old kettle", 5.0), ("new", "New", None)]


def test_the_same_store_gives_the_same_bytes(url: str, tmp_path: Path) -> None:
    use(url, lambda store: store.add_events([event(at % 3, f"u{at}") for at in range(9)]))
    for name in ("a", "b"):
        read(url, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["events-000.parquet", "items.parquet"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_the_url_may_come_from_the_environment(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(url, lambda store: store.add_events([event(0, "anna")]))
    monkeypatch.setenv("RECSYS_STORE_URL", url)
    out = tmp_path / "raw"
    out.mkdir()
    said = events.fetch(events.Config(), out, seed=0)
    assert said == {"source": "events store", "database": url.partition(":")[0], "events": 1, "items": 0}


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match=r"none.sqlite: no such file; set RECSYS_STORE_URL to the store"):
        read(f"sqlite:///{tmp_path}/none.sqlite", tmp_path / "a")
    (tmp_path / "text.sqlite").write_text("no database " * 100)
    with pytest.raises(
        DataError, match=r"text\.sqlite: the store cannot be read \(file is not a database\); see docs/stores.md$"
    ):
        read(f"sqlite:///{tmp_path}/text.sqlite", tmp_path / "b")
    with pytest.raises(DataError, match=r"^postgresql://\.\.\.: ") as refusal:
        read("postgresql://me:secret@127.0.0.1:1/x", tmp_path / "c")
    assert "secret" not in str(refusal.value)
    with pytest.raises(DataError, match=r"raw: no file 'items.parquet'; run `dvc repro fetch`"):
        events.tables(events.Config(), tmp_path / "raw")
    migrate(f"sqlite:///{tmp_path}/empty.sqlite")
    with pytest.raises(DataError, match=r"interactions.parquet: no such file; correct datasets.events.adapter.earlier"):
        read(f"sqlite:///{tmp_path}/empty.sqlite", tmp_path / "d", earlier=str(tmp_path / "nowhere"))


def execute(url: str, statement: str) -> None:
    """Change the store behind its back."""
    if url.startswith("sqlite"):
        apsw.Connection(url.removeprefix("sqlite:///")).execute(statement)
    else:
        with psycopg.connect(url) as server:
            server.execute(statement)


def earlier(tmp_path: Path, users: list[str]) -> Path:
    """Tables as `prepare` writes them."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    rows = {"user_id": users, "item_id": "kettle", "event": "view", "value": None, "weight": 0.5}
    before = NOON.replace(month=1)
    pl.DataFrame(rows).with_columns(
        pl.col("value").cast(pl.Float64), pl.col("weight").cast(pl.Float32), timestamp=pl.lit(before).cast(events.TIME)
    ).write_parquet(folder / "interactions.parquet")
    item = {"item_id": ["kettle"], "title": "Old kettle", "text": "", "categories": [["tea"]], "price": 1.0}
    pl.DataFrame({**item, "available": True, "first_seen": [before]}).with_columns(
        pl.col("first_seen").cast(events.TIME)
    ).write_parquet(folder / "items.parquet")
    return folder
