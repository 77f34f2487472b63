"""A start without the store, with a damaged release or with hostile rules: what may not be shown is not shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.faults.catalogue import FAULTS
from benchmarks.serving.faults.place import Place, place, started
from tests.chaos.conftest import PATIENT
from tests.chaos.test_faults import ask
from tests.support.apps import until

pytestmark = pytest.mark.chaos
SOLD_OUT, BLOCKED, FORGOTTEN = "kitchen-6", "kitchen-5", "ben"


def lists(here: Place, user_id: str) -> list[dict[str, Any]]:
    """Twenty answers, so that both workers give some."""
    answers = [ask(here, "/v1/recommend", {"user_id": user_id, "k": 20}) for _ in range(20)]
    assert {status for status, _ in answers} == {200}
    return [answer for _, answer in answers]


def keeps_its_word(here: Place) -> bool:
    shown = {item["item_id"] for answer in lists(here, "anna") for item in answer["items"]}
    forgotten = [answer["meta"] for answer in lists(here, FORGOTTEN)]
    assert shown
    return not shown & {SOLD_OUT, BLOCKED} and all(meta["segment"] == "cold_user" for meta in forgotten)


@pytest.fixture(scope="module")
def stopped(released: Path) -> Iterator[Place]:
    """A place where somebody was forgotten and an item sold out while it served; nothing serves there now."""
    with place(released, "postgresql", settings=PATIENT) as here:
        assert ask(here, "/v1/items", {"item_id": SOLD_OUT, "available": False}, "PUT")[0] == 200
        assert ask(here, f"/v1/users/{FORGOTTEN}", None, "DELETE")[0] == 200
        until(lambda: keeps_its_word(here))
        here.server.process.terminate()
        here.server.process.wait(60)
        yield here


@pytest.mark.parametrize("name", ["PostgreSQL stopped", "served files rewritten", "hostile rules", "emptied rules"])
def test_a_start(name: str, stopped: Place) -> None:
    with FAULTS[name].happens(stopped), started(stopped):
        assert keeps_its_word(stopped)
        status, said = ask(stopped, "/readyz")
        assert status == 200
        # of a release that is damaged there is a private copy, which is as good
        assert said["last_known"] or name == "served files rewritten", (
            "it does not say that it goes by what it knew last"
        )
