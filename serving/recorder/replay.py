"""Replays a recorded answer: computes it again from the release and the versions of all inputs in its exposure.

    replays = Replays(store, settings)
    replay = await replays.replay("0f3c...")        # replay.identical: whether the list equals the recorded one

The history consists of the events that were received before the answer, and is checked by its hash. Items are as they
were at that time; rules and live counts come from `snapshots.py`.
"""

import asyncio
import tempfile
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recsys.bundle import releases
from recsys.bundle.bundle import Bundle, read_manifest
from recsys.errors import RecsysError
from recsys.experiments.online.config import Arm
from recsys.recommend import live_counts
from recsys.schemas.store_schema import EVENT_COLUMNS
from serving.api.errors import ApiError
from serving.api.schemas import Item, RecommendRequest
from serving.engine.business_rules import BusinessRulesFile
from serving.engine.engine import Engine
from serving.engine.overlay import StoreOverlay, UserState
from serving.recorder import queries
from serving.settings import Settings
from serving.stores import reads
from serving.stores.protocol import Event, StoreError
from serving.stores.store import Store

ENGINES = 4  # number of engines kept for the next replay: building one takes a second
CLOCKS_S = 30.0  # seconds by which the clocks of hosts may differ, or a commit may be later than the receipt
DEFAULT_K = RecommendRequest().k
OPEN_END, AT_ONCE = float("inf"), float("-inf")


@dataclass(frozen=True)
class Replay:
    """A recorded answer and its replay. recorded: item ids; replayed: the items of the replay, with their reasons. at:
    time of the answer, UTC seconds; user: user_id or anonymous_id; unavailable: why there is no replay, or None."""

    request_id: str
    at: float = 0.0
    user: str | None = None
    variant: str = ""
    bundle_id: str = ""
    recorded: Sequence[str] = ()
    replayed: Sequence[Item] = ()
    unavailable: str | None = None

    @property
    def identical(self) -> bool:
        """Whether the replay has the same items in the same order."""
        return self.unavailable is None and [item.item_id for item in self.replayed] == list(self.recorded)


class UnavailableError(RecsysError):
    """An answer cannot be replayed; `Replay.unavailable` is the message."""


class Replays:
    """Replays answers of one store, from the bundles among the releases."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._loaded: dict[str, Bundle] = {}
        self._one_at_a_time = asyncio.Lock()  # replays share engines, and set their stock and live counts
        self._engines: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()

    async def replay(self, request_id: str) -> Replay:
        """Replay the answer with this request_id.

        Raises:
            StoreError: the store cannot be read.
        """
        row = await queries.exposure(self._store, request_id)
        if row is None:
            gone = "the store has no answer with this request_id: it was deleted by age, its user was forgotten, or"
            return Replay(request_id, unavailable=f"{gone} the id is wrong")
        recorded = [item["item_id"] for item in row["items"]]
        guest = None if row["anonymous_id"] == request_id else row["anonymous_id"]
        user_id, variant, bundle_id = row["user_id"], row["variant"], row["bundle_id"]
        described = partial(Replay, request_id, row["timestamp"], user_id or guest, variant, bundle_id, recorded)
        try:
            items = await self._again(row, request_id, guest)
        except StoreError:
            raise
        except RecsysError as error:
            return described(unavailable=str(error))
        except ApiError as error:
            return described(unavailable=f"its request is not valid any more: {error.message}")
        return described(replayed=items)

    async def _again(self, row: Mapping[str, Any], request_id: str, guest: str | None) -> list[Item]:
        made = row["replay"]
        if made is None:
            raise UnavailableError(
                "the answer was recorded by an older version, which did not store the inputs of a replay"
            )
        failed = set(made["failed"]) - ({"store"} if made["without_store"] else set())
        if failed:
            raise UnavailableError(
                f"the answer was computed while {', '.join(sorted(failed))} failed, which cannot be repeated"
            )
        if row["context"]["fallback_reason"] == "deadline":
            raise UnavailableError("the answer's deadline passed during the computation, which cannot be repeated")
        try:
            asked = RecommendRequest.model_validate({**made["request"], "k": 1})
        except ValueError as error:
            raise UnavailableError("its request is not valid any more, as the limits of fields have changed") from error
        changes = {"user_id": row["user_id"], "anonymous_id": guest, "k": made["request"].get("k", DEFAULT_K)}
        asked = asked.model_copy(update={**changes, "options": asked.options.model_copy(update={"explain": True})})
        user = await self._user(row, made)
        arm = Arm.model_validate(made["arm"]) if made["arm"] else None
        deadline = AT_ONCE if made["shed"] else OPEN_END
        async with self._one_at_a_time:
            engine = await self._engine(row["bundle_id"], made)
            again = partial(engine.recommend, asked, request_id, user, made["shown"], deadline, arm, made["at"])
            return (await asyncio.to_thread(again)).items

    async def _user(self, row: Mapping[str, Any], made: Mapping[str, Any]) -> UserState:
        """Return the user's state at the time of the answer, from the events whose hash equals the recorded one."""
        if made["without_store"]:
            return UserState(forgotten=made["forgotten"], failed=True)
        person: str = row["person"]
        events = await queries.events(self._store, person, made["at"] + CLOCKS_S)
        merged: set[str] = set()
        if person.startswith("u:"):
            merged = await queries.merged_since(self._store, person[2:], made["at"])
        for then in (
            events,
            [event for event in events if event.user_id is not None or event.anonymous_id not in merged],
            [event for event in events if event.user_id is None and event.anonymous_id == row["anonymous_id"]],
        ):
            received = {event.received for event in then if event.received > made["at"] - CLOCKS_S}
            for until in [made["at"], *sorted(received, reverse=True), made["at"] - CLOCKS_S]:
                state = _state([event for event in then if event.received <= until], made)
                if state.digest() == made["history"]:
                    return state
        raise UnavailableError("events of the user's history were deleted since, or moved to another user")

    async def _engine(self, bundle_id: str, made: Mapping[str, Any]) -> Engine:
        """Return an engine with the items, stock, rules and live counts of the answer."""
        if made["items"] < 0 or made["stock"] < 0:
            raise UnavailableError(
                "the store was unreachable at the time, so the items came from a copy whose version is not known"
            )
        key = bundle_id, made["items"], made["born"], made["rules"]
        engine = self._engines.pop(key, None)
        if engine is None:
            rules = await self._snapshot("rules", made["rules"])
            born = await self._snapshot("born", made["born"])
            items = await queries.items(self._store, made["items"])
            names = frozenset(reads.names(born) or ())
            overlay = StoreOverlay(made["items"], 0, items, names)
            engine = await asyncio.to_thread(self._build, bundle_id, overlay, rules)
        self._engines[key] = engine
        if len(self._engines) > ENGINES:
            self._engines.popitem(last=False)
        stock = await queries.items(self._store, made["stock"])
        engine.mark(stock.values(), made["stock"], anew=True)
        if engine.live is None or engine.live.version != made["live"]:
            live = await self._snapshot("live", made["live"])
            engine.live = None if live is None else live_counts.unpack(b64decode(live), engine.bundle)
        return engine

    async def _snapshot(self, kind: str, version: str | None) -> str | None:
        if version is None:
            return None
        body = await queries.snapshot(self._store, kind, version)
        if body is None:
            raise UnavailableError(f"{NAMES[kind]} of version {version} were deleted by age, or never stored")
        return body

    def _build(self, bundle_id: str, overlay: StoreOverlay, rules: str | None) -> Engine:
        bundle = self._loaded.get(bundle_id)
        if bundle is None:
            bundle = self._loaded[bundle_id] = releases.load(self._folder(bundle_id), None)
        if rules is None:
            return Engine(bundle, version("recsys"), overlay)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rules.yaml"
            path.write_bytes(rules.encode())
            return Engine(bundle, version("recsys"), overlay, BusinessRulesFile(path))

    def _folder(self, bundle_id: str) -> Path:
        served = self._settings.bundle
        if served is not None and read_manifest(served).bundle_id == bundle_id:
            return served
        for folder in (self._settings.releases, self._settings.last_known_folder):
            if (folder / bundle_id).is_dir():
                return folder / bundle_id
        raise UnavailableError(f"its release {bundle_id} is not in {self._settings.releases}")


NAMES = {"rules": "the rules", "born": "the items that only events name,", "live": "the live counts"}


def _state(events: list[Event], made: Mapping[str, Any]) -> UserState:
    """Return the user's state for these events, newest first. made: the column `replay` of the exposure."""
    newest = events[: made["events"]]
    number, latest = reads.history([tuple(getattr(event, name) for name in EVENT_COLUMNS) for event in newest])
    seen: dict[str, bool] = {}
    if len(latest) >= made["events"]:
        seen = reads.seen([(event.item_id, event.event == "dislike") for event in events])
    return UserState(latest, number, seen, made["forgotten"])
