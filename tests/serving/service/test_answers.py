"""What the service makes of a request besides the engine: whose engine, how long, what it costs, what is kept of it."""

import asyncio
from typing import Any

import pytest

from recsys.experiments.online.config import Arm
from serving.api.errors import ApiError
from serving.api.schemas import Answer, RankRequest, RecommendRequest, SimilarRequest
from serving.engine.engine import Engine
from serving.engine.overlay import NOBODY, UserState
from serving.service import service as module
from serving.stores.protocol import StoreError
from serving.stores.store import Store
from tests.serving.service.conftest import ANNA, Make, ask
from tests.serving.stores.examples import event

pytestmark = pytest.mark.anyio


def ids(answer: Answer) -> list[str]:
    return [item.item_id for item in answer.items]


class Clock:
    """Goes on by a second each time that it is read."""

    def __init__(self) -> None:
        self.now = 99.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock reads 100 at first; the deadlines that the engine gets, which it does not keep."""
    found: list[float] = []
    recommend, similar = Engine.recommend, Engine.similar

    def asked(self: Engine, request: Any, request_id: str, user: Any, shown: Any, deadline: float, arm: Any) -> Any:
        found.append(deadline)
        return recommend(self, request, request_id, user, shown, arm=arm)

    def asked_similar(self: Engine, request: Any, deadline: float) -> Any:
        found.append(deadline)
        return similar(self, request)

    monkeypatch.setattr(Engine, "recommend", asked)
    monkeypatch.setattr(Engine, "similar", asked_similar)
    monkeypatch.setattr(module, "perf_counter", Clock())
    return found


# ---- how long


async def test_an_answer_has_its_milliseconds_and_says_how_they_went(
    make: Make, deadlines: list[float], store: Store
) -> None:
    shop = make(deadline_ms=10_000, cache_url="memory")
    shop.background.store = store
    first = await ask(shop)
    await asyncio.sleep(0)
    assert deadlines == [110.0]
    assert {name: first.meta.timings_ms[name] for name in ("store", "total")} == {"store": 1000.0, "total": 3000.0}
    assert (await ask(shop)).meta.timings_ms == {"cache": 1000.0, "store": 1000.0, "total": 3000.0}


async def test_similar_items_have_their_milliseconds(make: Make, deadlines: list[float]) -> None:
    shop = make(deadline_ms=10_000)
    answer = shop.service.similar(SimilarRequest(item_id="kitchen-1", k=3), "id", shop.work())
    assert deadlines == [110.0]
    assert (len(answer.items), answer.request_id) == (3, "id")
    shop.service.similar(SimilarRequest(item_id="kitchen-1", k=3), "id", shop.busy)
    assert deadlines[1] == float("-inf")


async def test_a_busy_worker_answers_cheaply_and_asks_no_store(
    make: Make, deadlines: list[float], store: Store
) -> None:
    shop = make()
    await store.add_events([event("1", "anna", item_id="kitchen-1")])
    shop.background.store = store
    await shop.service.recommend(ANNA, "id", shop.busy)
    assert deadlines == [float("-inf")]
    made_from = shop.shown[0].replay
    assert made_from is not None
    assert (made_from["without_store"], made_from["shed"]) == (True, True)
    await ask(shop)
    made_from = shop.shown[1].replay
    assert made_from is not None
    assert (made_from["without_store"], made_from["shed"]) == (False, False)


async def test_a_preview_takes_its_time_and_leaves_no_trace(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = make()
    monkeypatch.setattr(module, "perf_counter", Clock())
    arm = Arm(weight=1.0, variant="popular")
    answer, steps = await shop.service.preview(ANNA, "id", shop.service.engine(), arm)
    assert (answer.meta.variant, answer.meta.timings_ms["total"], len(answer.items)) == ("popular", 1000.0, 4)
    assert steps
    assert (shop.shown, shop.paid) == ([], [])


# ---- what it costs, and what is counted


async def test_a_request_is_charged_by_what_it_costs(make: Make) -> None:
    shop = make()
    big, plain = RecommendRequest(user_id="anna", k=60), ANNA
    await ask(shop, big)
    await ask(shop, plain)
    assert shop.paid == [1.0]
    await shop.service.batch([big, plain, big], "id", shop.work())
    assert shop.paid == [1.0, 4.0]
    candidates = [f"kitchen-{n % 10}" for n in range(100)]
    await shop.service.rank(RankRequest(user_id="anna", candidates=candidates), "id", shop.work())
    assert shop.paid[2:] == [pytest.approx(0.5)]


async def test_an_answer_is_counted_logged_and_compared_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Answer] = []
    compared: list[tuple[Any, ...]] = []

    class Counts:
        add = counted.append

    class Shadow:
        def compare(self, *about: Any) -> None:
            compared.append(about)

    monkeypatch.setattr("serving.metrics.answers", lambda: Counts)
    shop, work = make(), None
    shop.background.shadow = Shadow()
    work = shop.work()
    answer = await shop.service.recommend(ANNA, "id", work)
    assert work.served == [(ANNA, answer)]
    assert work.cost == 1.0
    assert compared == [(ANNA, UserState(forgotten=True, failed=True), [], answer)]
    assert [each.request_id for each in shop.shown] == ["id"]
    alike = shop.service.similar(SimilarRequest(item_id="kitchen-1"), "id", shop.work())
    assert counted == [answer, alike]


async def test_an_empty_answer_is_no_exposure(make: Make) -> None:
    shop = make()
    assert (await ask(shop, RecommendRequest(user_id="anna", filter="price > 1000000"))).items == []
    assert shop.shown == []
    shop.background.exposures = None  # the store is not open yet
    assert (await ask(shop)).items


# ---- pages, batches, lists of the caller


async def test_pages_repeat_nothing_until_there_is_no_more(make: Make) -> None:
    shop = make()
    first = await ask(shop)
    assert first.next_cursor is not None
    second = await ask(shop, RecommendRequest(user_id="anna", k=4, cursor=first.next_cursor))
    assert len(set(ids(first)) | set(ids(second))) == 8
    made_from = shop.shown[1].replay
    assert made_from is not None
    assert made_from["shown"] == ids(first)
    short = await ask(shop, RecommendRequest(user_id="anna", k=100))
    assert (short.meta.shortfall is not None, short.next_cursor) == (True, None)


async def test_the_callers_items_are_put_in_order_without_a_page_after(make: Make) -> None:
    shop = make()
    candidates = ["garden-12", "kitchen-7", "garden-15", "kitchen-8"]
    answer = await shop.service.rank(RankRequest(user_id="both", candidates=candidates), "id", shop.work())
    assert sorted(ids(answer)) == sorted(candidates)
    assert (answer.meta.shortfall, answer.next_cursor) == (None, None)


async def test_a_batch_has_one_answer_for_each_and_lets_others_run_in_between(make: Make) -> None:
    shop, turns = make(), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    requests = [RecommendRequest(user_id=name, k=2) for name in ("anna", "ben", "both")]
    found = await shop.service.batch(requests, "id", shop.work())
    beside.cancel()
    assert [(answer.request_id, len(answer.items)) for answer in found.answers] == [(f"id-{n}", 2) for n in range(3)]
    assert 3 <= turns <= 4
    with pytest.raises(ApiError, match=r"^requests\.1: ") as refused:
        await shop.service.batch([ANNA, RecommendRequest(variant="none such")], "id", shop.work())
    assert (refused.value.status, refused.value.field) == (422, "requests.1.variant")


# ---- what the store says


class Down:
    """A store that cannot be read."""

    async def history(self, *_: Any) -> Any:
        raise StoreError("connection refused")


async def test_an_answer_says_what_the_store_knew(make: Make, store: Store) -> None:
    shop = make(history_events=2)

    async def made_from(request: RecommendRequest = ANNA) -> tuple[str, bool]:
        await ask(shop, request)
        replay = shop.shown[-1].replay
        assert replay is not None
        return replay["history"], replay["without_store"]

    nothing = UserState(forgotten=True, failed=True).digest()  # not even who is forgotten
    assert await made_from() == (nothing, True)
    shop.background.store = Down()
    assert await made_from() == (nothing, True)
    assert await made_from(RecommendRequest()) == (NOBODY.digest(), False)
    shop.background.store = store
    await shop.background.freshness.refresh(store, shop.background.live)
    await store.add_events([event("1", "anna", item_id="kitchen-5")])
    version, latest = await store.history("anna", None, 2)
    assert await made_from() == (UserState(latest, version).digest(), False)
    await store.add_events([event("2", "anna", item_id="kitchen-6"), event("3", "anna", item_id="kitchen-7")])
    version, latest = await store.history("anna", None, 2)
    seen = await store.seen("anna", None)
    assert len(seen) == 3
    assert await made_from() == (UserState(latest, version, seen).digest(), False)
    await store.add_events([event("g", None, anonymous_id="cookie", item_id="kitchen-5")])
    version, latest = await store.history(None, "cookie", 2)
    assert await made_from(RecommendRequest(anonymous_id="cookie")) == (UserState(latest, version).digest(), False)
