"""An hour of traffic: does memory grow, and do two workers share the pages of the bundle?

    python -m benchmarks.serving.soak [--minutes 60] [--rate 100]    writes benchmarks/results/serving_soak.json

Growth is between the end of the first tenth, when caches are full, and the end. So that the newest events, which every
worker keeps, are full by then as well, only those of a twentieth are kept. PSS counts a shared page once.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import prepared
from benchmarks.serving.server import Server, running
from benchmarks.serving.traffic import Traffic, summary

RATE, EVENT_SHARE = 100.0, 0.1


def main(seconds: float = 3600, rate: float = RATE) -> None:
    """Measure and write."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        kept = {"RECSYS_LIVE_EVENTS": str(round(rate * seconds / 20 * EVENT_SHARE))}
        environment = {"RECSYS_RELEASES": str(shop.releases()), **kept, **prepared(Path(name))}
        with running("serving", Path(name), 2, **environment) as server:
            found = asyncio.run(measure(server, seconds, rate))
    provenance.write("serving_soak", origin, {"workers": 2, "rate": rate, **kept, **found})
    print(json.dumps(found, indent=1))


async def measure(server: Server, seconds: float, rate: float) -> dict[str, Any]:
    """Memory of both workers every fortieth of the time."""
    task = asyncio.create_task(Traffic(server.port, shop.requests(9, EVENT_SHARE)).run(rate, seconds))
    start, samples = time.perf_counter(), []
    while not task.done():
        await asyncio.sleep(seconds / 40)
        samples.append({"seconds": round(time.perf_counter() - start), **server.memory_mib()})
    settled = next(sample for sample in samples if sample["seconds"] >= seconds / 10)
    last = samples[-1]
    return {
        "growth_of_rss": round(last["rss"] / settled["rss"] - 1, 4),
        "growth_of_pss": round(last["pss"] / settled["pss"] - 1, 4),
        "pss_of_two_workers_by_rss": round(last["pss"] / last["rss"], 3),
        "memory_mib": samples,
        "traffic": summary(await task),
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--rate", type=float, default=RATE)
    chosen = options.parse_args()
    main(chosen.minutes * 60, chosen.rate)
