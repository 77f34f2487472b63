"""A service in this process, over the hand-made bundle, with parts that a test can exchange and look into."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from serving.api.schemas import Answer, RecommendRequest
from serving.engine.engine import Engine
from serving.live.background import Background
from serving.middleware.load_shedding import Load, Work
from serving.service.service import Service
from serving.settings import Settings
from serving.stores import open_store
from serving.stores.protocol import Exposure
from serving.stores.store import Store
from tests.support.apps import new_store


@dataclass
class Shop:
    """paid: what requests cost beyond the first unit; shown: the exposures; picks: what the assigner was asked."""

    service: Service
    background: Any  # a `Background`, in which a test puts parts of its own
    paid: list[float] = field(default_factory=list)
    shown: list[Exposure] = field(default_factory=list)

    def work(self) -> Work:
        return Work(self.background.load, "key", self.paid.append)

    @property
    def busy(self) -> Work:
        """The work of a worker that sheds load."""
        return Work(Load(0, 1.0), "key")

    def put(self, exposure: Exposure) -> None:
        """As the writer of exposures."""
        self.shown.append(exposure)


Make = Callable[..., Shop]
ANNA = RecommendRequest(user_id="anna", k=4)


async def ask(shop: Shop, request: RecommendRequest = ANNA) -> Answer:
    return await shop.service.recommend(request, "id", shop.work())


@pytest.fixture(scope="session")
def hand_made(bundle_folder: Path) -> Bundle:
    return bundle.load(bundle_folder)


@pytest.fixture
def make(tmp_path: Path, hand_made: Bundle) -> Make:
    def made(**settings: Any) -> Shop:
        rules = tmp_path / "rules.yaml"
        rules.write_text("block: {}\n")
        files = {"rules": rules, "experiments": tmp_path / "experiments.yaml"}
        given = Settings(**{**files, "deadline_ms": 60_000, **settings})
        background = Background(given)
        background.live.engine = Engine(hand_made, "0")
        shop = Shop(Service(given, background), background)
        shop.background.exposures = shop
        return shop

    return made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(new_store(tmp_path))
    yield opened
    await opened.close()
