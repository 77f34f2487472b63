"""Which engine and arm a request gets: the share of a canary, the arm of an experiment, else the default."""

from copy import copy
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from prometheus_client import REGISTRY

from recsys.bundle.bundle import Bundle
from recsys.bundle.releases import Canary
from recsys.experiments.online.assignment import Assignment
from recsys.experiments.online.config import Arm
from serving.api.errors import ApiError
from serving.api.schemas import RecommendRequest
from serving.engine.arms import Picked
from serving.engine.engine import Engine
from tests.serving.service.conftest import ANNA, Make, ask
from tests.support import bundles

pytestmark = pytest.mark.anyio


@pytest.fixture
def other(hand_made: Bundle) -> Engine:
    """The engine of another bundle."""
    manifest = hand_made.manifest.model_copy(update={"bundle_id": "f" * 16})
    return Engine(replace(hand_made, manifest=manifest), "0")


async def test_a_canary_serves_its_share_of_people_and_nobody_else(make: Make, other: Engine) -> None:
    shop = make()
    base = shop.background.live.engine
    assert shop.service.engine("anna") is shop.service.engine() is base
    canary = Canary(bundle_id="f" * 16, share=1.0, since=bundles.NOW)
    shop.background.live.canary = canary
    assert shop.service.engine("anna") is base, "it is not loaded yet"
    shop.background.other_bundles.engines["f" * 16] = other
    assert shop.service.engine("anna") is other
    assert shop.service.engine() is base
    for request in (ANNA, RecommendRequest(anonymous_id="cookie"), RecommendRequest(user_id="x", anonymous_id="y")):
        assert (await ask(shop, request)).meta.bundle_id == "f" * 16
    assert (await ask(shop, RecommendRequest())).meta.bundle_id == base.bundle.manifest.bundle_id
    shop.background.live.canary = canary.model_copy(update={"share": 1e-9})
    assert shop.service.engine("anna") is base


async def test_without_a_bundle_nothing_is_answered(make: Make) -> None:
    shop = make()
    shop.background.live.engine = None
    with pytest.raises(ApiError, match="no bundle is loaded yet"):
        await ask(shop)


def failures() -> float:
    return REGISTRY.get_sample_value("recsys_flag_failures_total", {"experiment": "home"}) or 0.0


class Assigner:
    """Gives every unit the same arm, and keeps what it was asked."""

    busy, version = True, "v1"

    def __init__(self, **arm: Any) -> None:
        self.asked: list[tuple[Any, Any]] = []
        self.picked: Picked | None = Picked(
            Assignment("home", "b", "anna", 0.5), Arm.model_validate({"weight": 0.5, **arm})
        )

    def assign(self, units: Any, about: Any) -> Picked | None:
        self.asked.append((units, about))
        return self.picked


async def test_an_arm_decides_the_variant_and_is_in_the_exposure(make: Make) -> None:
    shop = make()
    shop.background.assigner = assigner = Assigner(variant="popular")
    answer = await ask(shop, RecommendRequest(user_id="anna", session_id="s", surface="home", attributes={"a": "b"}))
    assert answer.meta.experiment is not None
    assert (answer.meta.variant, answer.meta.experiment.variant) == ("popular", "b")
    assert assigner.asked == [
        ({"user": "anna", "session": "s"}, {"a": "b", "segment": answer.meta.segment, "surface": "home"})
    ]
    made_from = shop.shown[0].replay
    assert made_from is not None
    assert (made_from["arm"], made_from["experiments"]) == ({"variant": "popular", "weight": 0.5}, "v1")
    await ask(shop)
    assert assigner.asked[1] == ({"user": "anna"}, {"segment": answer.meta.segment})


async def test_experiments_see_the_attributes_of_a_user_unless_the_user_is_forgotten(
    make: Make, hand_made: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    described, user_id = copy(hand_made.histories), next(iter(bundles.HISTORIES))
    texts: list[str | None] = [None] * len(described.users)
    texts[0] = '{"country":"DE","age":31,"surface":"none","plan":"free"}'
    described._attributes = pl.Series(texts)
    shop = make()
    shop.background.live.engine = Engine(replace(hand_made, histories=described), "0")
    shop.background.assigner = assigner = Assigner(variant="popular")
    monkeypatch.setattr(shop.background.freshness, "is_forgotten", lambda _: False)
    request = RecommendRequest(user_id=user_id, surface="home", attributes={"plan": "paid"})
    segment = (await ask(shop, request)).meta.segment
    mine = {"country": "DE", "age": "31", "plan": "paid", "surface": "home", "segment": segment}
    assert assigner.asked[-1] == ({"user": user_id}, mine)
    await ask(shop, RecommendRequest(user_id="unknown"))
    assert assigner.asked[-1][1].keys() == {"segment"}
    monkeypatch.setattr(shop.background.freshness, "is_forgotten", lambda _: True)
    await ask(shop, request)
    assert assigner.asked[-1][1].keys() == {"plan", "surface", "segment"}


async def test_who_names_a_variant_or_has_no_id_is_in_no_experiment(make: Make) -> None:
    shop = make()
    shop.background.assigner = assigner = Assigner(variant="popular")
    for request in (RecommendRequest(user_id="anna", variant="als"), RecommendRequest()):
        answer = await ask(shop, request)
        assert (answer.meta.variant, answer.meta.experiment) == ("als", None)
    assert assigner.asked == []
    assigner.picked = None
    assert (await ask(shop)).meta.experiment is None
    assert len(assigner.asked) == 1


@pytest.mark.parametrize(
    "arm",
    [{"variant": "none such"}, {"variant": "als", "interleave": "none such"}, {"variant": "als", "bundle": "0" * 16}],
)
async def test_an_arm_that_cannot_be_served_is_the_default(make: Make, arm: dict[str, Any]) -> None:
    shop = make()
    shop.background.assigner = Assigner(**arm)
    before = failures()
    answer = await ask(shop)
    assert failures() == before + 1
    assert (answer.meta.variant, answer.meta.experiment, len(answer.items)) == ("als", None, 4)


async def test_an_arm_may_be_another_bundle(make: Make, other: Engine) -> None:
    shop = make()
    shop.background.other_bundles.engines["f" * 16] = other
    shop.background.assigner = Assigner(variant="als", bundle="f" * 16)
    assert (await ask(shop)).meta.bundle_id == "f" * 16
