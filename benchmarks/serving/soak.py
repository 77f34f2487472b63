"""An hour of traffic: does memory grow, and do two workers share the pages of the bundle?

    python -m benchmarks.serving.soak [--minutes 60] [--rate R]    writes benchmarks/results/serving_soak.json

The rate is half of the answers a second that two workers send as fast as they can (wrk, 16 connections), beside
everything else that runs on the machine. Growth is between the end of the first tenth, when caches are full, and the
end. So that the newest events, which every worker keeps, are full by then as well, only those of a twentieth are kept.

PSS divides a page by the number of its users, also by those that are no workers: it grows by the libraries when another
program in Python ends. So `own` counts, as root, every page of the workers once, whoever else uses it: PSS on a machine
where nothing else runs.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.serving import load, shop
from benchmarks.serving.server import Server, running
from benchmarks.serving.traffic import Traffic, summary

EVENT_SHARE = 0.1
SAMPLES = 40


def main(seconds: float = 3600, rate: float | None = None) -> None:
    """Measure and write. rate: requests a second, by default half of the saturation."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        environment = {"RECSYS_RELEASES": str(shop.releases()), **load.prepared(Path(name))}
        about: dict[str, Any] = {"workers": 2}
        if rate is None:
            about["saturation_per_second"] = saturation(Path(name), environment)
            rate = about["saturation_per_second"] / 2
        kept = {"RECSYS_LIVE_EVENTS": str(round(rate * seconds / 20 * EVENT_SHARE))}
        with running("serving", Path(name), 2, **environment, **kept) as server:
            found = asyncio.run(measure(server, seconds, rate))
    provenance.write("serving_soak", origin, {**about, "rate": rate, **kept, **found})
    print(json.dumps(found, indent=1))


def saturation(folder: Path, environment: dict[str, str]) -> float:
    """Lists a second that two workers send as fast as they can: the median of some rounds."""
    script = load.script(folder, "default", [body for _, body in islice(shop.requests(1, event_share=0), 2000)])
    with running("serving", folder, 2, **environment) as server:
        rounds = [load.wrk(server.port, ["-s", str(script)], load.CONNECTIONS, load.ROUND_SECONDS) for _ in range(3)]
    return round(statistics.median(done.per_second for done in rounds))


async def measure(server: Server, seconds: float, rate: float) -> dict[str, Any]:
    """Memory of both workers after every fortieth of the time. The answers of each fortieth are counted and let go:
    those of an hour need more memory than the machine has.
    """
    requests, start, samples = shop.requests(9, EVENT_SHARE), time.perf_counter(), list[dict[str, Any]]()
    for number in range(SAMPLES):
        traffic = summary(await Traffic(server.port, requests).run(rate, seconds / SAMPLES, seed=number))
        samples.append(
            {
                "seconds": round(time.perf_counter() - start),
                **server.memory_mib(),
                "load_1min": round(os.getloadavg()[0], 1),
                "cpu_seconds": round(server.cpu_seconds(), 1),
                **{name: traffic[name] for name in ("requests", "shed_503", "other_5xx_or_no_answer")},
                "p99_ms": traffic["ms"]["p99"],
            }
        )
        print(samples[-1], flush=True)
    settled = next(sample for sample in samples if sample["seconds"] >= seconds / 10)
    last = samples[-1]
    return {
        **{f"growth_of_{kind}": round(last[kind] / settled[kind] - 1, 4) for kind in ("rss", "pss", "own")},
        "own_of_two_workers_by_rss": round(last["own"] / last["rss"], 3),
        "requests": sum(sample["requests"] for sample in samples),
        "other_5xx_or_no_answer": sum(sample["other_5xx_or_no_answer"] for sample in samples),
        "samples": samples,
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--rate", type=float)
    chosen = options.parse_args()
    main(chosen.minutes * 60, chosen.rate)
