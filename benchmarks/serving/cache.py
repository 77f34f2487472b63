"""Compares the CPU of a cached answer with that of a computed one: benchmarks/results/cache.json

    python -m benchmarks.serving.cache

The bundle of benchmarks/rules.py, 10,000 items; the variants `als` and `als_recent`, which orders with the ranker
`recency`. CPU of this process by call, in microseconds, without the web server and the store; Redis runs beside, on a
socket, and its CPU is not counted.
"""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import provenance
from benchmarks.rules import make
from recsys.params import VariantParams
from serving.api.schemas import RecommendRequest
from serving.engine.engine import Engine
from serving.engine.overlay import UserState
from serving.live.background import Background
from serving.service.answer_cache import AnswerCache
from serving.settings import Settings

K = 20
RULES: list[dict[str, Any]] = [{"name": "seen"}, {"name": "available"}]
ALS = {"source": "nearest", "config": {"model": "als"}}
VARIANTS = {
    "als": {"sources": [ALS], "rules": RULES},
    "als_recent": {"sources": [ALS], "ranker": {"name": "recency", "config": {"smoothing": 20}}, "rules": RULES},
}


async def measure(settings: Settings, engine: Engine, variant: str, calls: int) -> float:
    """Microseconds of CPU by call, of the best of three rounds; the same 100 users again and again."""
    kept = AnswerCache(settings, Background(settings))
    asked = [RecommendRequest(user_id=f"u{user}", k=K, variant=variant) for user in range(100)]
    rounds = []
    for _ in range(4):  # the first one fills the cache
        started = time.process_time()
        for number in range(calls):
            await kept.recommend(engine, asked[number % len(asked)], "0", UserState(), (), float("inf"), None)
        rounds.append((time.process_time() - started) / calls * 1e6)
    await kept.close()
    return round(min(rounds[1:]), 1)


def main(n_items: int = 10_000, calls: int = 3_000) -> None:
    """Measure and write the results."""
    origin = provenance.describe()
    folder = Path(tempfile.mkdtemp(prefix="cache-"))
    socket = folder / "redis"
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        bundle = make(n_items, folder)
        variants = {name: VariantParams.model_validate(content) for name, content in VARIANTS.items()}
        manifest = bundle.manifest.model_copy(update={"variants": variants, "default_variant": "als"})
        engine = Engine(replace(bundle, manifest=manifest), version("recsys"))
        places = {"computed": "", "memory": "memory", "redis": f"unix://{socket}"}
        found = {
            variant: {
                name: asyncio.run(measure(Settings(cache_url=url, cache_seconds=3600), engine, variant, calls))
                for name, url in places.items()
            }
            for variant in VARIANTS
        }
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)
    provenance.write("cache", origin, {"cpu_us": found, "calls": calls, "k": K})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
