"""Measures time and memory of drawing the synthetic shop: benchmarks/results/synthetic_drawing.json

    python -m benchmarks.data.synthetic            200 thousand, 2 million and 20 million events
    python -m benchmarks.data.synthetic 50000      other sizes

Each size runs in a process of its own, so that its peak memory is its own.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import provenance
from recsys.datasets import synthetic

SIZES = (200_000, 2_000_000, 20_000_000)
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


def shop(events: int) -> synthetic.Config:
    """A shop of that many events that keeps the default's proportions; the catalogue grows more slowly."""
    return synthetic.Config(
        events=events,
        users=max(10, events * 3 // 100),
        items=max(10, round(2_000 * (events / 200_000) ** 0.7)),
        days=120,
        new_item_share=0.2,
        new_user_share=0.3,
        dirt_share=0.02,
    )


def measure(events: int) -> dict[str, Any]:
    """Draw and write the shop once."""
    config = shop(events)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        synthetic.fetch(config, Path(folder), seed=7)
        seconds = time.perf_counter() - begun
        written = sum(file.stat().st_size for file in Path(folder).iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    return {
        **config.model_dump(),
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(peak / 2**20),
        "written_mib": round(written / 2**20, 1),
    }


def main(sizes: list[int]) -> None:
    """Measure every size and write the results."""
    origin = provenance.describe()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context, max_tasks_per_child=1) as processes:
        runs = list(processes.map(measure, sizes))
    provenance.write("synthetic_drawing", origin, {"runs": runs})
    for run in runs:
        print(f"{run['events']:>12,} events  {run['seconds']:>7.2f} s  {run['peak_memory_mib']:>6,} MiB at most")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
