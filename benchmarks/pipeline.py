"""What a user waits for: `make demo` once installed, `make test`, `dvc repro` with nothing to do; two runs compared.

    python -m benchmarks.pipeline    writes benchmarks/results/pipeline.json

Everything runs in clones of the last commit, in an environment that `make setup` made before the clock started.
"""

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import provenance

MEASURES = ("recsys", "serving", "dvc.yaml", "params.yaml")
TOP = Path(__file__).parents[1]
REPEATS = 5


def main() -> None:
    """Measure and write."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as folder:
        first, second = clone(Path(folder) / "first"), clone(Path(folder) / "second")
        timed(first, "make setup")
        repro = f"PATH={first}/.venv/bin:$PATH dvc repro --quiet"
        demo = timed(first, "make demo")
        timed(second, repro)
        nothing = [timed(second, repro) for _ in range(REPEATS)]
        tests = timed(first, "make test")
        found = {
            "make_demo_seconds": demo,
            "make_test_seconds": tests,
            "repro_with_nothing_to_do_seconds": nothing,
            "repro_with_nothing_to_do_median": statistics.median(nothing),
            "same_dvc_lock": same(first / "dvc.lock", second / "dvc.lock"),
            "same_manifest": same(first / "bundle/manifest.json", second / "bundle/manifest.json"),
        }
    provenance.write("pipeline", origin, found)
    print(json.dumps(found, indent=1))


def clone(folder: Path) -> Path:
    """A clone without results."""
    subprocess.run(["git", "clone", "--quiet", TOP, folder], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    return folder


def timed(folder: Path, command: str) -> float:
    """Wall seconds of a command that has to succeed."""
    started = time.perf_counter()
    subprocess.run(command, shell=True, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return round(time.perf_counter() - started, 2)


def same(one: Path, other: Path) -> bool:
    """Equal byte for byte."""
    return one.read_bytes() == other.read_bytes()


if __name__ == "__main__":
    main()
