"""The store and its readers work behind pgbouncer in transaction mode, with no setting of ours."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks.stores.servers import Postgres
from recsys.datasets import events
from serving.stores.migrations import migrate
from serving.stores.protocol import Item
from tests.serving.stores.conftest import Opened
from tests.serving.stores.examples import ANNA, COOKIE, DUPLICATE, NEW, event, exposure, rejected
from tests.serving.stores.test_outcomes import setting_of_a_write
from tests.support import pooler

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not pooler.PROGRAM.is_file(), reason="no pgbouncer here; Debian: apt install pgbouncer"),
]


@pytest.fixture(params=["", "ignore_startup_parameters = options"])
def pooled_url(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[str]:
    with pooler.pooled(postgres, tmp_path, request.param) as url:
        yield url


async def test_it_works_behind_a_pooler_in_transaction_mode(pooled_url: str, opened: Opened, tmp_path: Path) -> None:
    await asyncio.to_thread(migrate, pooled_url)
    assert await asyncio.to_thread(migrate, pooled_url) == []
    first, second = await opened(pooled_url), await opened(pooled_url)
    for number in range(12):  # more often than psycopg waits before it prepares a statement
        one = [store.add_events([event(f"{number}-{name}")]) for name, store in (("a", first), ("b", second))]
        assert await asyncio.gather(*one) == [[NEW], [NEW]]
        counts = await asyncio.gather(*(store.history(ANNA, None, 100) for store in (first, second) for _ in range(4)))
        assert {len(found) for _, found in counts} == {2 * number + 2}
    assert await second.add_events([event("0-a"), rejected("no event")]) == [DUPLICATE, "rejected"]
    await first.add_exposures([exposure("r1")])
    await first.upsert_items([Item("kettle", title="Blue kettle")])
    assert (await second.items_since(0))[1] == [Item("kettle", title="Blue kettle")]
    assert len(await second.newest(0.0, (float("inf"), ""), 100)) == 24
    await first.add_events([event("g", None, anonymous_id=COOKIE)])
    assert await second.merge(COOKIE, ANNA) == 1
    assert await second.seen(ANNA, None) == {"kettle": False}
    out = tmp_path / "raw"
    out.mkdir()
    assert events.fetch(events.Config(url=pooled_url), out, 0)["events"] == 25
    assert (await first.forget(ANNA))["events"] == 25


async def test_durability_is_not_left_to_the_server_or_the_session(pooled_url: str, opened: Opened) -> None:
    await asyncio.to_thread(migrate, pooled_url)
    store = await opened(pooled_url)
    with psycopg.connect(pooled_url, autocommit=True) as server:
        server.execute("ALTER ROLE recsys SET synchronous_commit = off")
    try:
        assert [await setting_of_a_write(store) for _ in range(6)] == ["on"] * 6
    finally:
        with psycopg.connect(pooled_url, autocommit=True) as server:
            server.execute("ALTER ROLE recsys RESET synchronous_commit")
