"""From a killed API to a received webhook, with real Prometheus and Alertmanager and the committed rules and intervals.

    python -m benchmarks.monitoring.alerting [--rounds 3] [--releases FOLDER]
    writes benchmarks/results/serving_alerting.json

The workers are killed at a random moment between two scrapes.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.monitoring import servers
from benchmarks.serving import shop
from benchmarks.serving.load import prepared
from benchmarks.serving.server import running

ALERT = "RecsysDown"
LONGEST_SECONDS = 300.0


def main(rounds: int = 3, releases: Path | None = None, interval: str | None = None) -> None:
    """Kill so often, each time at another moment between two scrapes, and write; interval: of scrapes."""
    origin = provenance.describe()
    seconds = [once(releases or shop.releases(), seed, interval) for seed in range(rounds)]
    found: dict[str, Any] = {"rounds": rounds, "seconds": seconds, "slowest_seconds": max(seconds)}
    provenance.write("serving_alerting", origin, found)
    print(json.dumps(found, indent=1))


def once(releases: Path, seed: int, interval: str | None = None) -> float:
    """Seconds from the kill of all workers to the webhook."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {"RECSYS_RELEASES": str(releases), "RECSYS_OPEN_METRICS": "true", **prepared(folder)}
        with (
            running("serving", folder, 2, **environment) as server,
            servers.monitoring(folder, server.port, interval) as watched,
        ):
            _until(lambda: [each for each in watched.query('up{job="recsys"}') if each["value"][1] == "1"], "a scrape")
            time.sleep(random.Random(seed).uniform(0, 15 if interval is None else 1))
            for pid in [server.process.pid, *server.workers()]:
                subprocess.run(["kill", "-9", str(pid)], check=False)
            killed = time.time()
            _until(lambda: watched.alerts(ALERT), "the webhook")
            return round(watched.alerts(ALERT)[0] - killed, 1)


def _until(reached: Any, what: str) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {LONGEST_SECONDS:g} s")
        time.sleep(0.1)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--releases", type=Path, help="instead of the shop of 10,000 items")
    given = options.parse_args()
    main(given.rounds, given.releases)
