"""Two hosts with folders of their own and one PostgreSQL: do they agree while everything changes?

    python -m benchmarks.stores.hosts    writes benchmarks/results/stores_hosts.json

Clients ask both hosts for the same users while release, rules and experiments change through the channel; then one host
is killed and the store is stopped. Counted: lists that neither host returned, the seconds until both hosts follow a
change, units in two arms of one experiment, acknowledged events that the store does not have.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.server import Server, running
from benchmarks.serving.swap import renamed
from benchmarks.stores import namespaces
from benchmarks.stores.servers import Postgres, postgres
from recsys.bundle import shared
from recsys.bundle.bundle import read_manifest
from recsys.schemas import channel
from serving.stores.migrations import migrate

MEASURES = ("serving/live/channel.py", "recsys/schemas/channel.py", "recsys/bundle/shared.py")
SECONDS, CLIENTS, USERS = 20.0, 4, 500
KEY = "of the benchmark alone: 1f9d2c"  # an API that others than this machine can reach wants one
KEYS = f"benchmark:recommend+events+admin:{channel.digest(KEY)}"
HEAD = {"authorization": f"Bearer {KEY}"}
EXPERIMENTS = """experiments:
  home:
    coverage: {coverage}
    arms: {{control: {{variant: {variant}, weight: 0.5}}, popular: {{variant: popular, weight: 0.5}}}}
"""


def main() -> None:
    """Measure and write."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name, postgres() as store:
        first = shop.bundle_folder()
        found = measure(Path(name), store, first, renamed(first, Path(name) / "second"), SECONDS)
    provenance.write("stores_hosts", origin, {"hosts": 2, "clients": CLIENTS, **found})
    print(json.dumps(found, indent=1))


class Clients:
    """Threads that ask both hosts in turn, and go to the other one if a host does not answer."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses, self.answers, self.failed = addresses, 0, 0
        self.acknowledged: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        turn = 0
        while not self._ended.wait(0.04):
            turn += 1
            user = f"user-{(turn // 2) % USERS}"  # the same one at both hosts
            if self._send(turn, "recommend", {"user_id": user, "k": 5}) is None:
                self.failed += 1
            self.answers += 1
            event = {"event_id": f"{number}-{turn}", "user_id": user, "item_id": "none", "event": "view"}
            body = self._send(turn, "events", {"events": [event]})
            if body is not None and body["accepted"]:
                self.acknowledged.append(event["event_id"])

    def _send(self, turn: int, path: str, body: Any) -> Any:
        for address in (self._addresses[turn % 2], self._addresses[(turn + 1) % 2]):
            try:
                return post(address, path, body)
            except (OSError, urllib.error.HTTPError):
                continue
        return None


def measure(folder: Path, store: Postgres, first: Path, second: Path, seconds: float) -> dict[str, Any]:
    """Run everything; seconds: of load after the changes, half of it after a host was killed."""
    url = store.new_database()
    migrate(url)
    shop_of_two = Hosts(folder, url)
    for host in range(2):
        shop_of_two.recsys("releases", "promote", str(first), host=host)  # the bundle lies on both hosts
    with ExitStack() as stack:
        servers = [stack.enter_context(shop_of_two.started(host)) for host in range(2)]
        addresses = [server.address for server in servers]
        clients = Clients(addresses)
        stack.callback(clients.end)
        found = shop_of_two.changed(addresses, first, second)
        time.sleep(seconds / 2)
        servers[0].process.send_signal(signal.SIGKILL)
        time.sleep(seconds / 2)
        acknowledged = set(clients.acknowledged)
        store.stop()
        began = time.monotonic()
        while "channel" not in ready(addresses[1])["last_known"]:
            time.sleep(0.1)
        said = time.monotonic() - began
        post(addresses[1], "recommend", {"user_id": "user-1", "k": 5})
        clients.end()
        store.start()
    return {
        **found,
        "answers": clients.answers,
        "failed": clients.failed,
        "acknowledged_events": len(acknowledged),
        "acknowledged_events_lost": len(acknowledged - stored(url)),
        "units_in_two_arms": in_two_arms(url),
        "exposures_in_arms": exposures_in_arms(url),
        "says_without_store_after_seconds": round(said, 1),
    }


class Hosts:
    """Two hosts of one store: commands that run on one of them, and changes that all follow."""

    def __init__(self, folder: Path, url: str, networks: Sequence[namespaces.Host] = (), **environment: str) -> None:
        """networks: the namespace of each host, none if all are on loopback; environment: of servers and commands."""
        self._folder, self._url, self._networks = folder, url, networks
        self._shared = {"RECSYS_CHANNEL": "store", "RECSYS_STORE_URL": url, **environment}

    def started(self, host: int) -> AbstractContextManager[Server]:
        place = self._folder / f"host-{host}"
        place.mkdir(exist_ok=True)
        own = {"RECSYS_RELEASES": str(place / "releases"), "RECSYS_LAST_KNOWN": str(place / "kept"), **self._shared}
        if not self._networks:
            return running("serving", place, 1, **own)
        network = self._networks[host]
        return running("serving", place, 1, network.address, 8000, network.inside, **own)

    def recsys(self, *arguments: str, host: int) -> None:
        """Run a command on a host."""
        environment = {"RECSYS_RELEASES": str(self._folder / f"host-{host}" / "releases"), **self._shared}
        inside = self._networks[host].inside if self._networks else ()
        done = subprocess.run(
            [*inside, sys.executable, "-m", "recsys.cli", *arguments],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")

    def changed(self, addresses: list[str], first: Path, second: Path) -> dict[str, Any]:
        """Change experiments, rules and release; return the seconds from the end of each command until both follow."""
        variant, took = read_manifest(first).default_variant, {}
        item = post(addresses[0], "recommend", {"user_id": "user-1", "k": 1})["items"][0]["item_id"]
        self._put("experiments", EXPERIMENTS.format(coverage=0.2, variant=variant), 0)
        took["experiments"] = self._until_equal("experiments", addresses)
        self._put("rules", f"block: {{items: [{json.dumps(item)}]}}\n", 1)
        took["rules"] = self._until_equal("rules", addresses)
        answers = [post(address, "recommend", {"user_id": "user-1", "k": 5}) for address in addresses]
        self._put("experiments", EXPERIMENTS.format(coverage=0.9, variant=variant), 1)
        took["more coverage"] = self._until_equal("experiments", addresses)
        self._put("rules", "{}\n", 0)  # the second release has other names
        took["no rules"] = self._until_equal("rules", addresses)
        if shared.URL_VARIABLE not in self._shared:
            shutil.copytree(second, self._folder / "host-0" / "releases" / read_manifest(second).bundle_id)
        self.recsys("releases", "promote", str(second), host=1)
        took["promote"] = self._until_equal("releases", addresses)
        self.recsys("releases", "rollback", host=1)
        took["roll back"] = self._until_equal("releases", addresses)
        shown = sum(item in [shown["item_id"] for shown in answer["items"]] for answer in answers)
        return {"seconds_until_equal": took, "blocked_items_shown": shown}

    def _put(self, kind: str, text: str, host: int) -> None:
        file = self._folder / f"{kind}.yaml"
        file.write_text(text)
        self.recsys(kind, "put", str(file), host=host)

    def _until_equal(self, kind: channel.Kind, addresses: list[str]) -> float:
        began, newest = time.monotonic(), channel.newest(self._url, kind)
        assert newest is not None
        while not all(follows(address, kind, newest.version) for address in addresses):
            if time.monotonic() - began > 60:
                raise RuntimeError(f"{kind}: the hosts do not follow within 60 s")
            time.sleep(0.05)
        return round(time.monotonic() - began, 2)


def follows(address: str, kind: channel.Kind, version: str) -> bool:
    """Return whether a host serves this version: a release by /readyz, the others by its metrics, a second late."""
    if kind == "releases":
        return bool(ready(address)["bundle_id"] == version)
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}/metrics", headers=HEAD), timeout=10) as page:
        return f'recsys_config_info{{kind="{kind}",version="{version}"}} 1.0\n' in page.read().decode()


def ready(address: str) -> Any:
    """Return what /readyz says."""
    with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as answer:
        return json.load(answer)


def post(address: str, path: str, body: Any) -> Any:
    """Return the answer to a request; an error status is an HTTPError."""
    head = {**HEAD, "content-type": "application/json"}
    request = urllib.request.Request(f"http://{address}/v1/{path}", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def stored(url: str) -> set[str]:
    """Return the ids of all events in the store, without the name of the sender's key that stands before them there."""
    with closing(psycopg.connect(url)) as server:
        return {row[0].rpartition("/")[2] for row in server.execute("SELECT event_id FROM events")}


def exposures_in_arms(url: str) -> int:
    """Return how many exposures belong to an experiment."""
    return _count(url, "SELECT count(*) FROM exposures WHERE experiment IS NOT NULL")


def in_two_arms(url: str) -> int:
    """Return how many units were exposed to two arms of one experiment."""
    return _count(
        url,
        """SELECT count(*) FROM (SELECT unit FROM exposures WHERE experiment IS NOT NULL GROUP BY experiment, unit
        HAVING count(DISTINCT CAST(context AS json) ->> 'arm') > 1) AS twice""",
    )


def _count(url: str, statement: str) -> int:
    with closing(psycopg.connect(url)) as server:
        (found,) = server.execute(statement.encode()).fetchone() or (0,)
        return int(found)


if __name__ == "__main__":
    main()
