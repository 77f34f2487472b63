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
COMMANDS = {"setup": "make setup", "demo": "make demo", "repro": "dvc repro --quiet", "test": "make test"}
EQUAL = ("dvc.lock", "bundle/manifest.json")


def main(commands: dict[str, str], repeats: int, equal: tuple[str, ...]) -> None:
    """Run the commands in two clones, measure, write; `equal`: files that have to be the same in both."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as folder:
        first, second = clone(Path(folder) / "first"), clone(Path(folder) / "second")
        timed(first, commands["setup"])
        repro = f"PATH={first}/.venv/bin:$PATH {commands['repro']}"
        demo = timed(first, commands["demo"])
        timed(second, repro)
        nothing = [timed(second, repro) for _ in range(repeats)]
        tests = timed(first, commands["test"])
        found = {
            "make_demo_seconds": demo,
            "make_test_seconds": tests,
            "repro_with_nothing_to_do_seconds": nothing,
            "repro_with_nothing_to_do_median": statistics.median(nothing),
            "same": {name: same(first / name, second / name) for name in equal},
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
    main(COMMANDS, REPEATS, EQUAL)
