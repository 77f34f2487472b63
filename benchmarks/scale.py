"""The whole pipeline on synthetic shops of 200 thousand, 2 million and 20 million events: wall time and peak memory.

    python -m benchmarks.scale [EVENTS ...]    writes benchmarks/results/scale.json

Each size runs in a clone of its own, stage by stage under DVC, so hashing is in the figures. Peak memory
is that of the largest single process of a stage.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import provenance

MEASURES = ("recsys/stages", "dvc.yaml", "params.yaml")
TOP = Path(__file__).parents[1]
SIZES = {200_000: (6_000, 2_000), 2_000_000: (60_000, 10_000), 20_000_000: (600_000, 50_000)}


def main(sizes: list[int]) -> None:
    """Measure the sizes and print one line each."""
    origin, measured = provenance.describe(), {}
    for events in sizes:
        measured[events] = measure(events)
        total = measured[events]["total"]
        print(f"{events:,} events: {total['seconds']:.0f} s, {total['peak_gib']:.2f} GiB", flush=True)
    provenance.write("scale", origin, {"sizes": measured})


def measure(events: int) -> dict[str, Any]:
    """Seconds and peak memory of every stage, and of all together."""
    folder = TOP / f"build/scale/{events}"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", TOP, folder], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    resize(folder / "params.yaml", events)
    names = subprocess.run(
        ["dvc", "stage", "list", "--name-only"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.split()
    stages = {name: run(["dvc", "repro", "--single-item", name], folder, name) for name in names}
    seconds = sum(stage["seconds"] for stage in stages.values())
    peak = max(stage["peak_gib"] for stage in stages.values())
    users, items = SIZES[events]
    index = json.loads((folder / "indexes/test/als/index.json").read_text())
    shutil.rmtree(folder)
    return {
        "users": users,
        "items": items,
        "index": index,
        "stages": stages,
        "total": {"seconds": round(seconds, 1), "peak_gib": peak},
    }


def resize(path: Path, events: int) -> None:
    """Set the size of the shop; all else stays."""
    content = yaml.safe_load(path.read_text())
    users, items = SIZES[events]
    content["dataset"] = "synthetic"
    content["datasets"]["synthetic"]["adapter"].update(events=events, users=users, items=items)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def run(command: list[str], folder: Path, name: str) -> dict[str, float]:
    """Wall seconds and the peak resident memory of the command's largest process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed in {folder}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "peak_gib": round(usage.ru_maxrss / 2**20, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
    }


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
