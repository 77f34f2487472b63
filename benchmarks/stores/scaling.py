"""Answers a second by workers and hosts, each host in a network namespace, behind nginx and behind haproxy.

    python -m benchmarks.stores.scaling [--bundle FOLDER]    as root on Linux
    writes benchmarks/results/stores_scaling.json

All of it shares the cores of this machine with the client (wrk): from as many workers on as there are cores, it shows
what a balancer and further processes cost, not what further machines bring. PostgreSQL and Redis are shared.
"""

import argparse
import json
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import script, wrk
from benchmarks.serving.server import running
from benchmarks.stores import hosts, namespaces, network, servers
from recsys.bundle.bundle import load
from serving.stores.migrations import migrate

MEASURES = ("serving/process.py", "deploy/nginx.conf")
BALANCERS = ("nginx", "haproxy")
SIZES = ((1, 1), (1, 2), (2, 1), (2, 2))  # hosts, workers of each
ROUNDS, SECONDS, CONNECTIONS, USERS = 3, 10, 16, 1_900
PROGRAMS = (namespaces.NGINX, namespaces.HAPROXY, "redis-server", "wrk")


def main(bundle: Path | None, rounds: int = ROUNDS, seconds: int = SECONDS) -> None:
    """Measure and write; the bundle is that of the shop of 10,000 items if none is named."""
    origin, folder = provenance.describe(), bundle or shop.bundle_folder()
    users = load(folder).histories.users
    asked = [{"user_id": users.external_id(at), "k": 10} for at in range(min(len(users), USERS))]
    random.Random(3).shuffle(asked)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, namespaces.hosts(2) as networks, ExitStack() as stack:
        there = Path(name)
        body = script(there, "default", asked)
        body.write_text(f"{body.read_text()}wrk.headers['authorization'] = 'Bearer {hosts.KEY}'\n")
        url = stack.enter_context(servers.postgres(network.STORE)).new_database()
        migrate(url)
        environment = {
            "RECSYS_BUNDLE": str(folder.absolute()), "RECSYS_STORE_URL": url, "RECSYS_API_KEYS": hosts.KEYS,
            "RECSYS_CACHE_URL": stack.enter_context(network.running_redis(there)), "RECSYS_CACHE_SECONDS": "1",
            "RECSYS_SHED_REQUESTS": "1000", "RECSYS_RATE_LIMIT": "0",
        }  # fmt: skip
        for n_hosts, workers in SIZES:
            with ExitStack() as some:
                addresses = []
                for host in networks[:n_hosts]:
                    place = there / f"host-{host.number}"
                    place.mkdir(exist_ok=True)
                    own = {**environment, "RECSYS_LAST_KNOWN": str(place / "kept")}
                    server = running("serving", place, workers, host.address, 8000, host.inside, **own)
                    addresses.append(some.enter_context(server).address)
                for balancer in BALANCERS:
                    with namespaces.balancer(balancer, there, addresses, limits=False):
                        wrk(namespaces.PORT, ["-s", str(body)], CONNECTIONS, 1)  # warms up
                        done = [wrk(namespaces.PORT, ["-s", str(body)], CONNECTIONS, seconds) for _ in range(rounds)]
                    found.append({
                        "hosts": n_hosts, "workers": workers, "balancer": balancer,
                        "per_second": [round(one.per_second) for one in done], "p99_ms": [one.p99_ms for one in done],
                    })  # fmt: skip
    provenance.write("stores_scaling", origin, {"connections": CONNECTIONS, "runs": found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    namespaces.enter(*PROGRAMS)
    options = argparse.ArgumentParser()
    options.add_argument("--bundle", type=Path, help="instead of the shop of 10,000 items")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--seconds", type=int, default=SECONDS)
    given = options.parse_args()
    main(given.bundle, given.rounds, given.seconds)
