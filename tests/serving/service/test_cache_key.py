"""What makes another answer makes another key, and what was made without a part is not kept."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.bundle.index import Index
from recsys.experiments.online.assignment import Assignment
from recsys.experiments.online.config import Arm
from serving.api.schemas import RecommendRequest
from serving.engine.arms import Picked
from serving.engine.engine import Engine
from serving.engine.overlay import StoreOverlay, UserState
from serving.live.background import Background
from serving.service.answer_cache import AnswerCache
from serving.settings import Settings

ANNA = RecommendRequest(user_id="anna", k=4)
HISTORY = UserState(version=3)
INF = float("inf")


@dataclass(frozen=True)
class Asked:
    """Everything that one look into the cache depends on."""

    engine: Engine
    user: UserState = HISTORY
    picked: Picked | None = None
    store_version: int = 1
    deadline: float = INF
    request: RecommendRequest = ANNA


def picked(experiment: str = "e", variant: str = "als") -> Picked:
    return Picked(Assignment(experiment, "a", "anna", 0.5, False), Arm(weight=1.0, variant=variant))


@pytest.fixture(scope="module")
def loaded(bundle_folder: Path) -> Bundle:
    return bundle.load(bundle_folder)


def kept(tmp_path: Path, loaded: Bundle, *asked: Asked) -> list[bool]:
    """Ask the same of one cache again and again: which answers were kept ones?"""

    async def ask() -> list[bool]:
        empty, none = tmp_path / "rules.yaml", tmp_path / "experiments.yaml"
        empty.write_text("block: {}\n")
        settings = Settings(cache_url="memory", cache_seconds=3600, rules=empty, experiments=none)
        background = Background(settings)
        cache = AnswerCache(settings, background)
        found = []
        for each in asked:
            background.freshness.now = StoreOverlay(version=each.store_version)
            _, was_kept = await cache.recommend(
                each.engine, each.request, "id", each.user, (), each.deadline, each.picked
            )
            found.append(was_kept)
            await asyncio.sleep(0)  # it is put away after it was given
        await cache.close()
        return found

    return asyncio.run(ask())


def other_bundle(asked: Asked) -> Asked:
    loaded = asked.engine.base
    return replace(
        asked, engine=Engine(replace(loaded, manifest=loaded.manifest.model_copy(update={"bundle_id": "b2"})), "0")
    )


CHANGES: dict[str, Callable[[Asked], Asked]] = {
    "bundle": other_bundle,
    "items in the store": lambda asked: replace(asked, store_version=2),
    "items in the engine": lambda asked: replace(asked, engine=Engine(asked.engine.base, "0", StoreOverlay(version=9))),
    "history": lambda asked: replace(asked, user=UserState(version=4)),
    "forgotten": lambda asked: replace(asked, user=UserState(version=3, forgotten=True)),
    "experiment": lambda asked: replace(asked, picked=picked("another")),
    "arm": lambda asked: replace(asked, picked=picked(variant="popular")),
    "attributes": lambda asked: replace(asked, request=RecommendRequest(user_id="anna", k=4, attributes={"a": "b"})),
    "no experiment": lambda asked: replace(asked, picked=None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_ends_what_is_kept_and_its_way_back_finds_it_again(
    tmp_path: Path, loaded: Bundle, change: Callable[[Asked], Asked]
) -> None:
    before = Asked(Engine(loaded, "0"), picked=picked())
    after = change(before)
    assert kept(tmp_path, loaded, before, before, after, after, before) == [False, True, False, True, True]


def test_what_was_made_without_a_part_is_not_kept(
    tmp_path: Path, loaded: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(Engine(loaded, "0"))

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "search", broken)
        assert kept(tmp_path, loaded, asked, asked) == [False, False]
    assert kept(tmp_path, loaded, asked, asked) == [False, True]


def test_nor_is_what_was_made_in_a_hurry_or_without_the_store(tmp_path: Path, loaded: Bundle) -> None:
    asked = Asked(Engine(loaded, "0"))
    hurried, storeless = replace(asked, deadline=float("-inf")), replace(asked, user=UserState(failed=True))
    assert kept(tmp_path, loaded, hurried, hurried, storeless, storeless) == [False] * 4
