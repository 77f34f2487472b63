"""Two hosts in network namespaces behind nginx: everything changes, each host is killed, a cable is pulled.

    python -m benchmarks.stores.network [--seconds 300] [--bundle FOLDER]    as root on Linux
    writes benchmarks/results/stores_network.json

The hosts share PostgreSQL, Redis and an object storage (moto), and no folder; nginx has deploy/nginx.conf. There are
100 requests a second, one in five an event. Counted: failed requests, the seconds until both hosts follow a change,
users in two arms, acknowledged events that the store does not have, the last failed request after a host is killed.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import fsspec
import redis

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.swap import renamed
from benchmarks.serving.traffic import Reply, Traffic
from benchmarks.stores import hosts, namespaces, servers
from recsys.bundle.bundle import load
from serving.stores.migrations import migrate

MEASURES = ("serving/live", "recsys/schemas/channel.py", "recsys/bundle/shared.py", "deploy/nginx.conf")
RATE, SECONDS, FAULT_SECONDS, FAULT_AT = 100.0, 300.0, 20.0, 3.0
PROGRAMS = (namespaces.NGINX, "redis-server")
STORE = f"{namespaces.STORE}.1"  # the address of whatever the hosts share


def main(bundle: Path | None, seconds: float, fault_seconds: float = FAULT_SECONDS) -> None:
    """Measure and write; the bundle is that of the shop of 10,000 items if none is named."""
    origin, first = provenance.describe(), bundle or shop.bundle_folder()
    with tempfile.TemporaryDirectory() as name, namespaces.hosts(2) as networks, ExitStack() as stack:
        folder = Path(name)
        store, storage = stack.enter_context(servers.postgres(STORE)), stack.enter_context(servers.s3(STORE))
        environment = {
            **storage, "RECSYS_RELEASES_URL": "s3://recsys/releases", "RECSYS_API_KEYS": hosts.KEYS,
            **dict.fromkeys(("RECSYS_DEADLINE_MS", "RECSYS_STORE_MS"), "1000"),  # two hosts and all else share cores
            "RECSYS_CACHE_URL": stack.enter_context(running_redis(folder)),
        }  # fmt: skip
        os.environ.update(storage)
        fsspec.filesystem("s3").mkdir("recsys")
        url = store.new_database()
        migrate(url)
        both = hosts.Hosts(folder, url, networks, **environment)
        both.recsys("releases", "promote", str(first), host=0)  # the other host fetches it
        run = Run(both, networks, stack, first)
        stack.enter_context(namespaces.balancer("nginx", folder, run.addresses))
        found = run.changed(renamed(first, folder / "second"), seconds)
        for host in range(2):
            found[f"host {host} killed"] = run.killed(host, fault_seconds)
        found["store cut off from host 0"] = run.cut_off(0, fault_seconds)
        found |= {
            "acknowledged_events": len(run.acknowledged),
            "acknowledged_events_lost": len(run.acknowledged - hosts.stored(url)),
            "units_in_two_arms": hosts.in_two_arms(url),
            "exposures_in_arms": hosts.exposures_in_arms(url),
        }
    provenance.write("stores_network", origin, {"hosts": 2, "rate": RATE, **found})
    print(json.dumps(found, indent=1))


class Run:
    """Stretches of traffic through nginx to two running hosts. acknowledged: ids of the events that were accepted."""

    def __init__(self, both: hosts.Hosts, networks: list[namespaces.Host], stack: ExitStack, bundle: Path) -> None:
        self._both, self._networks, self._stack, self._bundle = both, networks, stack, bundle
        self._servers = [stack.enter_context(both.started(host)) for host in range(2)]
        self.acknowledged: set[str] = set()
        users = load(bundle).histories.users
        self._users = [users.external_id(at) for at in range(min(len(users), 500))]
        self._sent = 0

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self._servers]

    def changed(self, second: Path, seconds: float) -> dict[str, Any]:
        """Change everything again and again, in traffic of so many seconds."""
        rounds: list[dict[str, Any]] = []

        def change() -> None:
            ends = time.monotonic() + seconds
            while not rounds or time.monotonic() + 60 < ends:
                rounds.append(self._both.changed(self.addresses, self._bundle, second))

        replies = self._traffic(seconds, change)
        took = [(name, took) for each in rounds for name, took in each["seconds_until_equal"].items()]
        return {
            "seconds": seconds,
            "requests": len(replies),
            "failed": len(_failed(replies)),
            "failed_by": dict(Counter(f"{reply.path} {reply.status}" for reply in _failed(replies))),
            "changes": len(took),
            "seconds_until_equal": {name: max(took for other, took in took if other == name) for name, _ in took},
            "blocked_items_shown": sum(each["blocked_items_shown"] for each in rounds),
        }

    def killed(self, host: int, seconds: float) -> dict[str, Any]:
        """Kill a host in traffic, and start it again afterwards."""
        replies = self._traffic(seconds, lambda: self._servers[host].process.kill())
        failed = _failed(replies)
        self._servers[host] = self._stack.enter_context(self._both.started(host))
        return {
            "requests": len(replies),
            "failed": len(failed),
            "failed_by": dict(Counter(f"{reply.path} {reply.status}" for reply in failed)),
            "last_failed_after_seconds": round(max([reply.due - FAULT_AT for reply in failed], default=0.0), 2),
        }

    def cut_off(self, host: int, seconds: float) -> dict[str, Any]:
        """Pull the cable between a host and what both share; plug it in again afterwards."""
        said: list[float] = []

        def pull() -> None:
            self._networks[host].connect(store=False)
            said.append(_seconds_until(lambda: "channel" in hosts.ready(self.addresses[host])["last_known"]))
            answer = hosts.post(self.addresses[host], "recommend", {"user_id": self._users[0], "k": 5})
            assert len(answer["items"]) == 5, answer
            assert answer["meta"]["experiment"] is None, "another host may run another arm by now"

        replies = self._traffic(seconds, pull)
        self._networks[host].connect(store=True)
        back = _seconds_until(lambda: not hosts.ready(self.addresses[host])["last_known"])
        failed = _failed(replies)
        return {
            "requests": len(replies),
            "failed_lists": sum(reply.path == "/v1/recommend" for reply in failed),
            "events_refused": sum(reply.path == "/v1/events" for reply in failed),
            "says_so_after_seconds": said[0],
            "says_no_more_after_seconds": back,
        }

    def _traffic(self, seconds: float, fault: Callable[[], None]) -> list[Reply]:
        """Send requests for so many seconds, and run `fault` beside them, in a thread."""

        async def both() -> list[Reply]:
            traffic = Traffic(namespaces.PORT, self._requests(), f"authorization: Bearer {hosts.KEY}\r\n")
            sending = asyncio.create_task(traffic.run(RATE, seconds))
            await asyncio.sleep(FAULT_AT)
            await asyncio.to_thread(fault)
            return await sending

        replies = asyncio.run(both())
        events = [reply for reply in replies if reply.path == "/v1/events" and reply.status == 200]
        self.acknowledged.update(reply.sent["event_id"] for reply in events if reply.body["accepted"])
        return replies

    def _requests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        while True:
            self._sent += 1
            user = self._users[self._sent * 7 % len(self._users)]
            if self._sent % 5:
                yield "/v1/recommend", {"user_id": user, "k": 10}
            else:
                yield "/v1/events", {"event_id": str(self._sent), "user_id": user, "item_id": "x", "event": "view"}


def _failed(replies: list[Reply]) -> list[Reply]:
    return [reply for reply in replies if not 200 <= reply.status < 300]


def _seconds_until(true: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > 60:
            raise RuntimeError("it did not come within 60 s")
        time.sleep(0.05)
    return round(time.monotonic() - began, 2)


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """The address of a Redis for both hosts."""
    command = [
        "redis-server",
        "--bind",
        STORE,
        "--port",
        "6379",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with closing(redis.Redis(STORE)) as client:
                _seconds_until(lambda: _up(client))
            yield f"redis://{STORE}:6379/0"
        finally:
            process.terminate()


def _up(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


if __name__ == "__main__":
    namespaces.enter(*PROGRAMS)
    options = argparse.ArgumentParser()
    options.add_argument("--bundle", type=Path, help="instead of the shop of 10,000 items")
    options.add_argument("--seconds", type=float, default=SECONDS)
    options.add_argument("--fault-seconds", type=float, default=FAULT_SECONDS)
    given = options.parse_args()
    main(given.bundle, given.seconds, given.fault_seconds)
