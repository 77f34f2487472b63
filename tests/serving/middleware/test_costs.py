"""What a request costs, who pays for it, and for which key load is shed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from fastapi.testclient import TestClient

from serving import api_keys
from serving.api.errors import ApiError
from serving.api.schemas import RecommendRequest
from serving.api_keys import Scope
from serving.middleware.limits import RateLimit
from serving.middleware.load_shedding import Load, Work
from serving.service import costs
from serving.settings import Settings
from tests.support.apps import new_store, until_ready
from tests.support.servers import serving

SHOP, MAIL = (api_keys.new(name, [Scope.RECOMMEND]) for name in ("shop", "mail"))
HEAVY = {"user_id": "anna", "k": 100, "options": {"explain": True, "diversity": 0.5}}


def test_a_key_that_asks_too_much_is_shed_and_others_are_not() -> None:
    load = Load(shed_requests=10, shed_s=0.1)
    greedy, plain = Work(load, "greedy"), Work(load, "plain")
    plain.set_load(1)
    greedy.set_load(60)
    other = Work(load, "greedy")
    other.set_load(1)
    assert (other.sheds, plain.sheds) == (True, False)
    greedy.set_load(0)
    assert not other.sheds


def test_no_request_is_shed_for_its_own_cost() -> None:
    load = Load(shed_requests=10, shed_s=0.1)
    alone = Work(load, "")
    alone.set_load(1000)
    assert not alone.sheds


def test_a_late_loop_sheds_the_keys_that_have_most_in_the_worker() -> None:
    load = Load(shed_requests=100, shed_s=0.1)
    load.requests.add("greedy", 50)
    load.requests.add("plain", 1)
    for _ in range(4):
        load.looked(2.0)
    assert (load.sheds("greedy"), load.refuses("greedy")) == (True, True)
    assert (load.sheds("plain"), load.refuses("plain")) == (False, False)


def test_a_batch_costs_the_sum_of_its_parts() -> None:
    plain, heavy = RecommendRequest(user_id="anna"), RecommendRequest.model_validate(HEAVY)
    assert costs.of(plain) == 1
    assert costs.of(heavy) > 20
    assert costs.of_rows(1) == 1
    assert costs.of_rows(1000) > 5


def test_what_is_dear_is_paid_for_by_those_that_follow() -> None:
    now = 0.0
    limit = RateLimit(10, clock=lambda: now)
    assert limit._wait("shop") == 0
    limit.pay("shop", 99)  # 100 in all: 10 s, of which two are the burst
    assert limit._wait("shop") == pytest.approx(8.1, abs=0.2)
    assert limit._wait("mail") == 0
    with pytest.raises(ApiError, match="the key 'shop' sent more than 10 requests a second"):
        limit.pay("shop", 1)
    now = 9.0
    assert limit._wait("shop") == 0


@pytest.fixture
def limited(start: Any, bundle_folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(
        bundle=bundle_folder, store_url=new_store(tmp_path), api_keys=f"{SHOP[1]} {MAIL[1]}", rate_limit=50
    )
    with start(settings) as ready:
        yield until_ready(ready)


def post(client: TestClient, key: str, path: str, body: Any) -> int:
    status: int = client.post(path, json=body, headers={"authorization": f"Bearer {key}"}).status_code
    return status


def test_a_batch_is_charged_what_it_costs(limited: TestClient) -> None:
    """It was counted as one request, and took the time of 300."""
    assert post(limited, SHOP[0], "/v1/recommend:batch", {"requests": [HEAVY] * 100}) == 200
    assert post(limited, SHOP[0], "/v1/recommend", {"user_id": "anna"}) == 429
    assert post(limited, MAIL[0], "/v1/recommend", {"user_id": "anna"}) == 200


def test_the_worst_single_request_is_charged_too(limited: TestClient) -> None:
    items = [f"kitchen-{n}" for n in range(1000)]
    body = {"user_id": "anna", "candidates": items, "session": [{"item_id": "kitchen-1"}] * 1000}
    assert post(limited, SHOP[0], "/v1/rank", {**body, "options": {"explain": True}}) == 200
    assert post(limited, SHOP[0], "/v1/recommend", {"user_id": "anna"}) == 429


def test_a_rate_holds_for_all_workers_together(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    settings = {"RECSYS_API_KEYS": SHOP[1], "RECSYS_RATE_LIMIT": "0.01"}  # one request in a hundred seconds
    command = [sys.executable, "-m", "serving"]
    with serving(command, bundle_folder, root, tmp_path / "log", 2, **settings) as (url, _):
        statuses = [status(f"{url}/v1/about") for _ in range(20)]
    assert statuses.count(200) == 1, statuses
    assert statuses.count(429) == 19


def status(url: str) -> int:
    try:
        with urlopen(Request(url, headers={"authorization": f"Bearer {SHOP[0]}"}), timeout=20) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code
