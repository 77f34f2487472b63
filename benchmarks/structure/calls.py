"""How many calls of our own code one request takes: benchmarks/results/calls.json

    python -m benchmarks.structure.calls [--bundle bundle] [--before 21a7ebd]

Counted for a recommendation of the default variant to a user with a history, one event posted and one item put, all
through the API (`count_calls.py` says what a call is). `--before` counts the code of an earlier commit beside today's,
with the same bundle, which that code has to read; without it the counts of that commit stay as they are.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.structure.revision import extracted

MEASURES = ("serving/app.py",)
COUNT = Path(__file__).with_name("count_calls.py")


def main(bundle: Path, before: str | None) -> None:
    """Count, print what differs, write."""
    if not (bundle / "manifest.json").is_file():
        sys.exit(f"error: {bundle} holds no bundle: run `make demo`, or set --bundle FOLDER")
    origin = provenance.describe()
    figures: dict[str, Any] = {"now": count(provenance.TOP, bundle)}
    if before:
        with tempfile.TemporaryDirectory() as folder:
            figures["before"] = {"revision": before, **count(extracted(before, Path(folder)), bundle)}
    elif (file := provenance.RESULTS / "calls.json").is_file() and (kept := json.loads(file.read_text()).get("before")):
        figures["before"] = kept
    provenance.write("calls", origin, figures)
    for name, found in figures.items():
        for request in ("recommendation", "event", "item"):
            line = found[request]
            print(f"{name:8}{request:16}{line['calls']:5} calls {line['files']:4} files {line['moves']:5} moves")


def count(top: Path, bundle: Path) -> dict[str, Any]:
    """The figures of the code in `top`, from a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(top), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(COUNT), str(bundle.resolve())]
    done = subprocess.run(command, env=environment, cwd=top, check=True, stdout=subprocess.PIPE, text=True)
    counted: dict[str, Any] = json.loads(done.stdout)
    return counted


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--bundle", type=Path, default=Path("bundle"))
    options.add_argument("--before", help="a commit to compare with")
    given = options.parse_args()
    main(given.bundle, given.before)
