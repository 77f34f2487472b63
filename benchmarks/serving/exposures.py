"""Kills the whole API at random moments, and checks that every exposure which it counted as written is in the store.

    python -m benchmarks.serving.exposures [--kills 20]    writes benchmarks/results/serving_exposures.json

An exposure is acknowledged when `recsys_exposures_total{outcome="written"}` counts it. The answers of the last moment
before a kill may not be in the store: an answer never waits for its exposure. How many those are is counted too.
"""

import argparse
import asyncio
import json
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import apsw

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import prepared
from benchmarks.serving.server import Server, exposures_counted, running
from benchmarks.serving.traffic import Traffic
from recsys.schemas.store_schema import SQLITE

RATE = 200.0


def main(kills: int = 20, longest: float = 5) -> None:
    """Kill so often, each time at the latest after so many seconds, and write."""
    origin = provenance.describe()
    rounds = [once(seed, longest) for seed in range(kills)]
    found = {
        "kills": kills,
        "rate": RATE,
        "workers": 2,
        "acknowledged": sum(each["acknowledged"] for each in rounds),
        "acknowledged_and_lost": sum(max(0, each["acknowledged"] - each["stored"]) for each in rounds),
        "answered": sum(each["answered"] for each in rounds),
        "stored": sum(each["stored"] for each in rounds),
        "dropped": sum(each["dropped"] for each in rounds),
    }
    provenance.write("serving_exposures", origin, {**found, "rounds": rounds})
    print(json.dumps(found, indent=1))


def once(seed: int, longest: float) -> dict[str, Any]:
    """One life of the API."""
    with tempfile.TemporaryDirectory() as name:
        environment = {"RECSYS_RELEASES": str(shop.releases()), **prepared(Path(name))}
        with running("serving", Path(name), 2, **environment) as server:
            answered, written, dropped = asyncio.run(_until_killed(server, random.Random(seed), longest))
        file = environment["RECSYS_STORE_URL"].removeprefix(SQLITE)
        stored = next(apsw.Connection(file).execute("SELECT count(*) FROM exposures"))[0]
    return {"answered": answered, "acknowledged": written, "stored": stored, "dropped": dropped}


async def _until_killed(server: Server, chance: random.Random, longest: float) -> tuple[int, int, int]:
    traffic = Traffic(server.port, shop.requests(seed=chance.randrange(1000), event_share=0))
    running_traffic = asyncio.create_task(traffic.run(RATE, 8))
    await asyncio.sleep(chance.uniform(1, longest))
    written, dropped = await asyncio.to_thread(exposures_counted, server.port)
    for pid in [*server.workers(), server.process.pid]:
        subprocess.run(["kill", "-9", str(pid)], check=False)
    running_traffic.cancel()
    await traffic.finish()
    answered = sum(reply.status == 200 for reply in traffic.replies)
    return answered, written, dropped


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=20)
    main(options.parse_args().kills)
