"""All faults by name, with what each needs and what it may cost: `with FAULTS[name].happens(place): ...`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.serving.faults import clients, files, parts
from benchmarks.serving.faults.place import Place


@dataclass(frozen=True)
class Fault:
    """store, cache, clock: of the place; costs: what users may notice while it lasts.

    personal: lists are full, but not all of them this user's own; events: some are refused; connections: some are cut.
    """

    happens: Callable[[Place], AbstractContextManager[None]]
    store: str = "postgresql"
    cache: bool = False
    clock: bool = False
    costs: tuple[str, ...] = ()


FAULTS = {
    "source raises": Fault(parts.source_raises, costs=("personal",)),
    "source slow": Fault(parts.source_slow, costs=("personal",)),
    "SQLite locked": Fault(parts.store_locked, store="sqlite", costs=("events",)),
    "PostgreSQL stopped": Fault(parts.postgres_stopped, costs=("events",)),
    "PostgreSQL frozen": Fault(parts.postgres_frozen, costs=("events",)),
    "PostgreSQL slow": Fault(parts.postgres_slow, costs=("events",)),
    "cache gone": Fault(parts.cache_gone, cache=True),
    "cache frozen": Fault(parts.cache_frozen, cache=True),
    "cache slow": Fault(parts.cache_slow, cache=True),
    "worker killed": Fault(parts.worker_killed, costs=("connections",)),
    "worker frozen": Fault(parts.worker_frozen, costs=("connections",)),
    "disk full": Fault(parts.disk_full, store="sqlite", costs=("events",)),
    "disk read-only": Fault(parts.read_only, store="sqlite", costs=("events",)),
    "disk slow": Fault(parts.disk_slow, store="sqlite", costs=("events",)),
    "no descriptors": Fault(parts.no_descriptors, costs=("events",)),
    "no memory": Fault(parts.no_memory, costs=("events",)),
    "clock a day ahead": Fault(parts.clock("+1d"), clock=True),
    "clock a year behind": Fault(parts.clock("-365d"), clock=True),
    "release half written": Fault(files.release_half_written),
    "served files truncated": Fault(files.served("truncate")),
    "served files rewritten": Fault(files.served("rewrite")),
    "served files unreadable": Fault(files.served("chmod")),
    "hostile rules": Fault(files.written("rules.yaml", files.ALIASES)),
    "half-written rules": Fault(files.written("rules.yaml", "block: {items: [kitch")),
    "emptied rules": Fault(files.written("rules.yaml", "")),
    "hostile experiments": Fault(files.written("experiments.yaml", files.ALIASES)),
    "half-written experiments": Fault(files.written("experiments.yaml", "experiments: {a: [")),
    "emptied experiments": Fault(files.written("experiments.yaml", "")),
    "slow bodies": Fault(clients.slow_bodies),
    "slow heads": Fault(clients.slow_heads),
    "huge heads": Fault(clients.huge_heads),
    "idle connections": Fault(clients.idle_connections),
}
