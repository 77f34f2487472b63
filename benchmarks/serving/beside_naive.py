"""Answers a second of the API beside the service a team would write itself, from the same bundle, in turns.

    python -m benchmarks.serving.beside_naive [--bundle FOLDER]
    writes benchmarks/results/serving_beside_naive.json

The server that is asked has one core, the client (wrk, eight connections) the other. Known users, one in twenty a
stranger; the API's store holds two events of each known user. CPU is that of the whole process, writers included.
The API keeps what it computed from a user's history until the history changes, and these users come back every second
or two. `als, not kept` and `default, not kept` ask for more persons in turn than are kept, so nothing is used again.
"""

import argparse
import json
import random
import statistics
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import prepared, script, wrk
from benchmarks.serving.server import Server, apart, running
from recsys.bundle.bundle import load

MEASURES = ("serving", "recsys/recommend", "recsys/rankers", "recsys/encoders", "recsys/sources")
ROUNDS, SECONDS, CONNECTIONS, KNOWN, STRANGERS = 5, 8, 8, 1_900, 100
VARIANTS = ("popular", "als", "default")
NOT_KEPT = {"als, not kept": "als", "default, not kept": "default"}
VISITS = 3  # of each user by as many browsers: 6,000 persons, of whom the API keeps the last 4,096


def main(bundle: Path | None, rounds: int = ROUNDS, seconds: int = SECONDS) -> None:
    """Measure and write; the bundle is that of the shop of 10,000 items if none is named."""
    origin, folder = provenance.describe(), bundle or shop.bundle_folder()
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as open_servers:
        there = Path(temporary)
        more = {"RECSYS_BUNDLE": str(folder.absolute()), "RECSYS_SHED_REQUESTS": "1000"}
        apis = []
        for name in ("kept", "visits"):  # a server of their own, or they would push out what is kept for the others
            (there / name).mkdir()
            environment = prepared(there / name) | more
            apis.append(open_servers.enter_context(running("serving", there / name, 1, **environment)))
        api, other = apis
        naive = open_servers.enter_context(
            running("benchmarks.peers.naive_service:create_app", there, 1, NAIVE_BUNDLE=str(folder.absolute()))
        )
        loaded = load(folder)
        users, items = (
            [table.external_id(at) for at in range(len(table))]
            for table in (loaded.histories.users, loaded.catalogue.ids)
        )
        for server in apis:
            _remember(server, users, items)
        asked = requests(users)
        ways: dict[str, tuple[Server, Path]] = {"naive": (naive, script(there, "default", asked))}
        ways |= {variant: (api, script(there, variant, asked)) for variant in VARIANTS}
        visits = [{**body, "anonymous_id": f"browser-{number}"} for number in range(VISITS) for body in asked]
        ways |= {name: (other, script(there / "visits", variant, visits)) for name, variant in NOT_KEPT.items()}
        found = take_turns(ways, rounds, seconds)
    naive_rate = statistics.median(found["naive"]["per_second"])
    for one in found.values():
        one["of_naive"] = round(statistics.median(one["per_second"]) / naive_rate, 3)
    counts = loaded.manifest.counts
    provenance.write("serving_beside_naive", origin, {"counts": counts, "ways": found})
    print(json.dumps(found, indent=1))


def take_turns(ways: dict[str, tuple[Server, Path]], rounds: int, seconds: int) -> dict[str, dict[str, Any]]:
    """Ask each way in every round; the first round warms up and does not count."""
    found: dict[str, dict[str, Any]] = {name: {"per_second": [], "cpu_us": [], "p99_ms": []} for name in ways}
    with apart(*{server.port: server for server, _ in ways.values()}.values()):
        for turn in range(rounds + 1):
            for name, (server, body) in ways.items():
                before = server.cpu_seconds()
                done = wrk(server.port, ["-s", str(body)], CONNECTIONS, seconds)
                if turn:
                    found[name]["per_second"].append(round(done.per_second))
                    found[name]["cpu_us"].append(round((server.cpu_seconds() - before) / done.requests * 1e6))
                    found[name]["p99_ms"].append(done.p99_ms)
    return found


def requests(users: list[str]) -> list[dict[str, Any]]:
    """One request of each known user and of some strangers, mixed."""
    asked = users[:KNOWN] + [f"stranger-{number}" for number in range(STRANGERS)]
    random.Random(3).shuffle(asked)
    return [{"user_id": user, "k": 10} for user in asked]


def _remember(api: Server, users: list[str], items: list[str]) -> None:
    """Put two events of each known user into the store."""
    events = [
        {"user_id": user, "item_id": items[(7 * at + n) % len(items)], "event": "view"}
        for at, user in enumerate(users[:KNOWN])
        for n in range(2)
    ]
    for start in range(0, len(events), 1000):
        request = urllib.request.Request(
            f"http://127.0.0.1:{api.port}/v1/events",
            json.dumps(events[start : start + 1000]).encode(),
            {"content-type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=30).read()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--bundle", type=Path, help="instead of the shop of 10,000 items")
    main(options.parse_args().bundle)
