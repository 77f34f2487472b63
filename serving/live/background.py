"""The background tasks of one worker: they watch the releases, the store and the rules, and write exposures."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from recsys.bundle.bundle import Bundle
from recsys.recommend.circuit_breaker import CircuitBreakers, Limits
from serving import metrics
from serving.engine.arms import ArmAssigner, ExperimentsFile
from serving.engine.business_rules import BusinessRulesFile
from serving.engine.engine import Engine
from serving.last_known import LastKnown
from serving.live.arm_bundles import OtherBundles
from serving.live.channel import Channel
from serving.live.exposure_writer import Exposures
from serving.live.live_feed import LiveFeed
from serving.live.release_watcher import ReleaseWatcher
from serving.live.shadow import Shadow
from serving.live.store_watcher import StoreWatcher
from serving.middleware.load_shedding import Load
from serving.process import DESCRIPTORS, MemoryReserve
from serving.recorder.snapshots import RULES
from serving.settings import Settings
from serving.stores import open_store
from serving.stores.protocol import StoreError
from serving.stores.store import LIMITS, Store

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
RULES_SECONDS = 0.5
COUNT_SECONDS = 1.0


class Background:
    """All background tasks. `store` and `exposures` are None until the store is open; `reason` says why it is not."""

    def __init__(self, settings: Settings) -> None:
        """Read rules and experiments. Raises: ParamsError: one of the files is invalid."""
        self._settings = settings
        metrics.PRICE.set(settings.cpu_hour_price)
        self.breakers = CircuitBreakers(Limits(slow_s=settings.deadline_ms / 2e3))
        self.last_known = LastKnown(settings)
        self.rules = BusinessRulesFile(settings.followed("rules"), settings.must_have_rules, self.last_known)
        self.feed = LiveFeed(settings)
        self._offer_rules()
        self.freshness = StoreWatcher(self.rules, self.breakers, self.feed, self.last_known)
        self.live = ReleaseWatcher(settings, self.freshness.engine, self.last_known)
        self.experiments = ExperimentsFile(settings.followed("experiments"), self.last_known)
        self.assigner = ArmAssigner(self.experiments, settings.flag_provider)
        self.other_bundles = OtherBundles(
            self.last_known, self.experiments, self.freshness, self.live, settings.channel == "files"
        )
        self.channel: Channel | None = None
        if settings.channel == "store":
            self.channel = Channel(self.rules, self.experiments, self.live, self.last_known)
        self._config: dict[str, str] = {}
        self.load = Load(settings.shed_requests, settings.deadline_ms / 1e3)
        self.memory = MemoryReserve()
        self.shadow: Shadow | None = None
        if settings.shadow_bundle is not None:
            self.shadow = Shadow(settings.shadow_bundle, self.last_known, self._shadow_engine, self.load)
        self.store: Store | None = None
        self.exposures: Exposures | None = None
        self.reason = "the store is being opened"
        self.leaving = False  # True while the process shuts down: it still answers, but /readyz fails

    def leave(self) -> None:
        """Begin to shut down: /readyz fails from now on, and responses ask clients to close their connections."""
        self.leaving = True

    async def run(self) -> None:
        """Run all tasks until cancelled. The store is read first, so that no answer has an item that is sold out."""
        try:
            DESCRIPTORS.open()
            await self._open()
            async with asyncio.TaskGroup() as group:
                followers = [self.load.watch, self.live.follow, self._follow_store, self._follow_rules]
                followers += [self.other_bundles.follow, self._follow_events, self._count]
                if self.channel is not None:
                    followers.append(self._follow_channel)
                if self.shadow is not None:
                    followers.append(self.shadow.run)
                for follower in followers:
                    group.create_task(_forever(follower))
        finally:
            DESCRIPTORS.free()
            self.freshness.keep_items()
            metrics.answers().flush()
            if self.exposures is not None:
                await self.exposures.close()
            if self.store is not None:
                await self.store.close()

    def _shadow_engine(self, bundle: Bundle) -> Engine:
        return Engine(bundle, version("recsys"), self.freshness.now, self.rules, CircuitBreakers(Limits()))

    async def _follow_rules(self) -> None:
        while True:
            await asyncio.sleep(RULES_SECONDS)
            if self.live.engine is not None and self.channel is None:
                await asyncio.to_thread(self.rules.reload, self.live.engine.bundle)
            self._offer_rules()

    def _offer_rules(self) -> None:
        version, content = self.rules.snapshot
        self.feed.snapshots.offer(RULES, version, lambda: content)

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            self.memory.look()
            DESCRIPTORS.look()
            await asyncio.to_thread(metrics.answers().flush)
            for file, reason in (("rules", self.rules.reason), ("experiments", self.experiments.reason)):
                metrics.FILE_REFUSED.labels(file).set(reason is not None)
            metrics.config("rules", self.rules.version or "none", self._config)
            metrics.config("experiments", self.experiments.version, self._config)
            if self.live.engine is not None:
                metrics.config("release", self.live.engine.bundle.manifest.bundle_id, self._config)

    async def _follow_store(self) -> None:
        while self.store is None:
            await asyncio.sleep(RETRY_SECONDS)
            await self._open()
        await self.freshness.follow(self.store, self.live)

    async def _follow_channel(self) -> None:
        while self.store is None:
            await asyncio.sleep(RULES_SECONDS)
        if self.channel is not None:
            await self.channel.follow(self.store)

    async def _follow_events(self) -> None:
        while self.live.engine is None or self.store is None:
            await asyncio.sleep(RULES_SECONDS)
        while True:
            await self.feed.refresh(
                # no variable names them: it would keep the release before in memory during the pause
                self.store, (self.live.engine, *self.other_bundles.engines.values()), self.freshness.forgotten
            )  # fmt: skip
            await asyncio.sleep(self._settings.live_seconds)

    async def _open(self) -> None:
        try:
            url, answer_s = self._settings.store_url, self._settings.store_ms / 1e3
            store = await open_store(url, answer_s, CircuitBreakers(LIMITS))
            try:
                await self.freshness.refresh(store, self.live)
                if self.channel is not None:
                    await self.channel.refresh(store)
            except StoreError:
                await store.close()
                raise
            except Exception:  # an unexpected value in a row must not stop other reads and writes
                log.exception("the store is open, but its changes of items cannot be applied")
        except StoreError as error:
            if str(error) != self.reason:
                log.error("the store cannot be opened, answers are computed without it: %s", error)
                self.freshness.start_without_the_store()
            self.reason = str(error)
        else:
            self.store, self.exposures = store, Exposures(store, self.feed.snapshots)


async def _forever(follower: Callable[[], Awaitable[None]]) -> None:
    """Run a task, and start it again a second after it ends with an unexpected exception."""
    while True:
        try:
            await follower()
        except Exception:  # logged with its traceback, and tried again
            log.exception("%s failed and is started again", follower.__qualname__)
        await asyncio.sleep(RETRY_SECONDS)
