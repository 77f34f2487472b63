"""While a part, a file or a client is broken, others are answered; afterwards all is sound, and no event is lost."""

import json
import time
from contextlib import ExitStack
from itertools import count
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import apsw
import psycopg
import pytest

from benchmarks.serving.faults.catalogue import FAULTS
from benchmarks.serving.faults.parts import NotHereError
from benchmarks.serving.faults.place import Place
from recsys.schemas.store_schema import SQLITE
from tests.chaos.conftest import Places
from tests.support.apps import until

pytestmark = pytest.mark.chaos
BROKEN_SECONDS = 3.0
WAIT_SECONDS = 15.0  # two workers and a loaded machine; a hang is longer
numbers = count()


def ask(place: Place, path: str, body: object = None, method: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and answer on a connection of its own; 0 when the connection is cut."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(
        f"http://127.0.0.1:{place.server.port}{path}", data, {"content-type": "application/json"}, method=method
    )
    try:
        with urlopen(request, timeout=WAIT_SECONDS) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)
    except ConnectionError as error:
        return 0, {"error": str(error)}


def recommended(place: Place) -> tuple[int, dict[str, Any]]:
    return ask(place, "/v1/recommend", {"user_id": "anna", "k": 5})


def useful(answer: dict[str, Any], *, own: bool) -> bool:
    items, meta = answer["items"], answer["meta"]
    assert all(item["item_id"] != "kitchen-5" for item in items), "a blocked item"
    return len(items) == 5 and (not own or bool(meta["personalised_share"]))


def sound(place: Place) -> bool:
    """Both workers, as far as ten answers show."""
    for _ in range(10):
        status, answer = recommended(place)
        if status != 200 or not useful(answer, own=True) or answer["meta"]["degraded"]:
            return False
    return ask(place, "/readyz")[0] == 200 and post(place)[0] == 200


def post(place: Place) -> tuple[int, str]:
    """A purchase, and its id."""
    event_id = f"chaos-{next(numbers)}"
    event = {"event_id": event_id, "user_id": "ben", "item_id": "garden-14", "event": "view"}
    return ask(place, "/v1/events", event)[0], event_id


def stored(place: Place) -> set[str]:
    url, query = place.environment["RECSYS_STORE_URL"], "SELECT event_id FROM events"
    if url.startswith(SQLITE):
        return {row[0] for row in apsw.Connection(url.removeprefix(SQLITE)).execute(query)}
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute(query)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_comes_and_goes(name: str, places: Places) -> None:
    fault = FAULTS[name]
    place = places(fault)
    until(lambda: sound(place))
    acknowledged, cut, degraded = set(), 0, 0
    with ExitStack() as stack:
        try:
            stack.enter_context(fault.happens(place))
        except NotHereError as error:
            pytest.skip(str(error))
        end = time.monotonic() + BROKEN_SECONDS
        for turn in count():
            if time.monotonic() > end:
                break
            status, answer = recommended(place)
            cut += status == 0
            assert status == 200 or (status == 0 and "connections" in fault.costs), (turn, answer)
            degraded += status == 200 and not useful(answer, own="personal" not in fault.costs and turn > 20)
            status, event_id = post(place)
            assert status in ((200, 503, 504) if "events" in fault.costs else (200, 0)), (turn, status)
            acknowledged |= {event_id} if status == 200 else set()
            assert ask(place, "/healthz")[0] == 200 or "connections" in fault.costs
            time.sleep(0.05)
    assert degraded == 0
    assert cut <= 5
    until(lambda: sound(place))
    assert acknowledged <= stored(place)
