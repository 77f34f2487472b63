"""What the service stores, counts, hands out and forgets, and whether it is ready."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from serving.api import identities
from serving.api.errors import ApiError
from serving.api.events import PostedEvent
from serving.api.identities import MergeRequest, UnmergeRequest
from serving.stores.protocol import Item, StoreError, UnknownOutcomeError
from serving.stores.store import Store
from tests.serving.service.conftest import ANNA, Make, Shop, ask
from tests.serving.stores.examples import event

pytestmark = pytest.mark.anyio

MERGE = MergeRequest(anonymous_id="cookie", user_id="anna")
UNMERGE = UnmergeRequest(anonymous_id="cookie")
COUNTED = {
    **{outcome: ("recsys_events_total", {"outcome": outcome}) for outcome in
       ("accepted", "duplicate", "rejected", "unavailable", "unknown")},
    **{f"{kind}s": ("recsys_events_by_kind_total", {"event": kind}) for kind in ("view", "purchase")},
    "value": ("recsys_events_value_total", {"event": "purchase"}),
    "unknown items": ("recsys_events_unknown_items_total", {}),
}  # fmt: skip


class Counts:
    """How far the figures of events have moved since the last time."""

    def __init__(self) -> None:
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: REGISTRY.get_sample_value(*figure) or 0.0 for name, figure in COUNTED.items()}

    def moved(self) -> dict[str, float]:
        before, self._before = self._before, self._now()
        return {name: now - before[name] for name, now in self._before.items() if now != before[name]}


def posted(event_id: str, **more: Any) -> PostedEvent:
    return PostedEvent.model_validate(
        {"event_id": event_id, "user_id": "anna", "item_id": "kitchen-1", "event": "purchase", **more}
    )


@pytest.fixture
def shop(make: Make, store: Store) -> Shop:
    made = make()
    made.background.store = store
    return made


async def test_events_are_counted_by_outcome_kind_and_value(shop: Shop) -> None:
    counts = Counts()
    first = posted("1", value=0.5)
    free = [posted("2", value=0.0), posted("3"), posted("4", event="view", item_id="nobody knows it")]
    answer = await shop.service.take_events([first, first, *free, {"no": "event"}], "erp")
    assert (answer.accepted, answer.duplicates, len(answer.rejected)) == (4, 1, 1)
    assert counts.moved() == {
        "accepted": 4, "duplicate": 1, "rejected": 1, "purchases": 3, "views": 1, "value": 0.5, "unknown items": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("error", "outcome"), [(StoreError, "unavailable"), (UnknownOutcomeError, "unknown")])
async def test_events_that_could_not_be_stored_are_counted_too(shop: Shop, error: Any, outcome: str) -> None:
    class Down:
        async def add_events(self, _: Any) -> None:
            raise error("no space left on the disk")

    counts = Counts()
    shop.background.store = Down()
    with pytest.raises(error, match="no space left"):
        await shop.service.take_events([posted("1"), posted("2")], None)
    assert counts.moved() == {outcome: 2}
    shop.background.store = None
    with pytest.raises(ApiError, match="the store could not be reached yet"):
        await shop.service.take_events([posted("1")], None)
    assert counts.moved() == {"unavailable": 1}


async def test_a_merge_is_done_and_undone(store: Store) -> None:
    await store.add_events([event("1", None, anonymous_id="cookie", item_id="kitchen-1")])
    assert (await identities.merge(store, MERGE, "erp")).events == 1
    assert (await identities.unmerge(store, UNMERGE, "erp")).events == 1
    with pytest.raises(ApiError, match="this visitor was not merged into a user") as refused:
        await identities.unmerge(store, UNMERGE, "erp")
    assert refused.value.status == 404


async def test_an_export_holds_the_store_and_the_bundle_until_the_user_is_forgotten(shop: Shop, store: Store) -> None:
    await shop.background.freshness.refresh(store, shop.background.live)
    await store.add_events([event("1", "anna", item_id="kitchen-1")])
    found = await shop.service.export("anna", "erp")
    assert [row["event_id"] for row in found.store["events"]] == ["1"]
    bought = [f"kitchen-{n}" for n in range(4)] + ["sold-out"]
    assert sorted(row.item_id for row in found.bundle) == bought
    assert (await ask(shop)).meta.segment == "warm"
    assert (await shop.service.forget("anna", "erp")).deleted["events"] == 1
    gone = await shop.service.export("anna", "erp")
    assert (gone.store["events"], gone.bundle) == ([], [])
    assert (await ask(shop, ANNA)).meta.segment == "cold_user"
    assert [row.item_id for row in (await shop.service.export("ben", "erp")).bundle]
    lines = await identities.audit(store, 9)
    assert [(line.key, line.action) for line in lines] == [("erp", each) for each in SAID]
    assert len(await identities.audit(store, 1)) == 1


SAID = ("export", "export", "forget", "export")


async def test_what_is_kept_ends_with_the_user_and_with_the_service(make: Make, store: Store) -> None:
    shop = make(cache_url="memory")
    shop.background.store = store
    await shop.background.freshness.refresh(store, shop.background.live)

    async def kept() -> bool:
        return "cache" in (await ask(shop)).meta.timings_ms

    assert [await kept() for _ in range(2)] == [False, True]
    await shop.service.forget("anna", None)
    assert [await kept() for _ in range(2)] == [False, True]
    await shop.service.close()
    assert not await kept()


async def test_readiness_says_what_is_served_and_of_what_a_copy(make: Make, store: Store) -> None:
    shop = make()
    with pytest.raises(ApiError, match="the store could not be reached yet"):
        await shop.service.ready()
    shop.background.store = store
    await store.upsert_items([Item("kitchen-1", price=3.0)])
    await shop.background.freshness.refresh(store, shop.background.live)
    shop.background.live.reason = ""
    ready = await shop.service.ready()
    assert (ready.bundle_id, ready.store) == (shop.service.engine().bundle.manifest.bundle_id, "reached")
    assert (ready.refused, ready.last_known) == (None, [])

    class Down:
        async def ping(self) -> None:
            raise StoreError("connection refused")

    shop.background.store = Down()
    shop.background.live.reason = "a file is missing"
    shop.background.last_known.using.update({"store", "rules"})
    ready = await shop.service.ready()
    assert (ready.store, ready.last_known) == ("out of reach", ["rules", "store"])
    assert ready.refused is not None
    shop.background.store = None
    assert (await shop.service.ready()).store == "out of reach"
    shop.background.leave()
    with pytest.raises(ApiError, match="shutting down"):
        await shop.service.ready()
