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
BUILD = TOP / "build/scale"
SIZES = {200_000: (6_000, 2_000), 2_000_000: (60_000, 10_000), 20_000_000: (600_000, 50_000)}  # users, items


def main(sizes: dict[int, tuple[int, int]], stages: list[str] | None = None) -> None:
    """Measure the sizes, events -> (users, items), and print one line each; all stages, or the named ones."""
    origin, measured = provenance.describe(), {}
    for events, (users, items) in sizes.items():
        measured[events] = measure({"events": events, "users": users, "items": items}, stages)
        total = measured[events]["total"]
        print(f"{events:,} events: {total['seconds']:.0f} s, {total['peak_gib']:.2f} GiB", flush=True)
    provenance.write("scale", origin, {"sizes": measured})


def measure(size: dict[str, int], only: list[str] | None) -> dict[str, Any]:
    """Seconds and peak memory of every stage, and of all together."""
    folder = BUILD / str(size["events"])
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", TOP, folder], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    resize(folder / "params.yaml", size)
    names = (
        only
        or subprocess.run(
            ["dvc", "stage", "list", "--name-only"], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.split()
    )
    stages = {name: run(["dvc", "repro", "--single-item", name], folder, name) for name in names}
    seconds = sum(stage["seconds"] for stage in stages.values())
    peak = max(stage["peak_gib"] for stage in stages.values())
    index = folder / "indexes/test/als/index.json"
    kind = json.loads(index.read_text()) if index.is_file() else None
    shutil.rmtree(folder)
    return {
        "users": size["users"],
        "items": size["items"],
        "index": kind,
        "stages": stages,
        "total": {"seconds": round(seconds, 1), "peak_gib": peak},
    }


def resize(path: Path, size: dict[str, int]) -> None:
    """Set the size of the shop; all else stays."""
    content = yaml.safe_load(path.read_text())
    content["dataset"] = "synthetic"
    content["datasets"]["synthetic"]["adapter"].update(size)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def run(command: list[str], folder: Path, name: str) -> dict[str, float]:
    """Wall seconds and the peak resident memory of the command's largest process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise SystemExit(f"{name} failed in {folder}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "peak_gib": round(usage.ru_maxrss / 2**20, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
    }


if __name__ == "__main__":
    main({int(size): SIZES[int(size)] for size in sys.argv[1:]} or SIZES)
