"""How many small mistakes in the code do its tests notice?

    python -m benchmarks.mutation                      # a seeded sample of 1,000 mutants, about half an hour
    python -m benchmarks.mutation --sample 40 recsys/business_rules/filters

Each mutant runs against the tests of its own module only. A timeout counts as noticed. Writes
benchmarks/results/mutation.json with every survivor. A run that was stopped goes on after the modules that it finished,
which are in build/mutation, as long as neither the module nor its tests have changed.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.mutation.operators import mutants
from benchmarks.mutation.rooms import ROOMS, TOP, tests_of
from recsys.output import write_text


def main() -> None:
    """Draw, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=provenance.RESULTS, help="folder of mutation.json")
    parser.add_argument("rooms", nargs="*", default=ROOMS)
    given = parser.parse_args()
    origin = provenance.describe()
    drawn = draw(modules(given.rooms), given.sample, given.seed)
    finished = TOP / "build" / "mutation"
    with ThreadPoolExecutor(given.jobs) as pool:
        rows = [row for some in pool.map(lambda item: run_once(finished, *item), drawn.items()) for row in some]
    counts = Counter(row["outcome"] for row in rows)
    tried = len(rows) - counts["unreachable"]
    killed = round((counts["killed"] + counts["timeout"]) / max(tried, 1), 4)
    survivors = [row | {"code": code_at(row)} for row in rows if row["outcome"] == "survived"]
    figures = {"seed": given.seed, "mutants": tried, "killed_share": killed, "outcomes": counts}
    figures |= {"rooms": by_room(given.rooms, rows), "survivors": survivors}
    provenance.write("mutation", origin, figures, given.out)
    print(f"{tried} mutants, {killed:.1%} noticed")


def by_room(rooms: list[str], rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Of each room, how many mutants were tried and how many noticed."""
    found = {}
    for room in rooms:
        counts = Counter(row["outcome"] for row in rows if row["path"].startswith(room))
        noticed = counts["killed"] + counts["timeout"]
        found[room] = {"mutants": noticed + counts["survived"], "noticed": noticed}
    return found


def code_at(row: dict[str, Any]) -> str:
    """The line of code that the mutant changes."""
    return (TOP / row["path"]).read_text().splitlines()[row["line"] - 1].strip()


def modules(rooms: list[str]) -> list[str]:
    """The modules that have tests, by path from the top of the repository."""
    paths = [
        path
        for room in rooms
        for path in ([TOP / room] if room.endswith(".py") else sorted((TOP / room).rglob("*.py")))
    ]
    return [str(path.relative_to(TOP)) for path in paths if path.name != "__init__.py"]


def draw(paths: list[str], sample: int, seed: int) -> dict[str, list[int]]:
    """Of every module a share of its mutants, at least five, by number."""
    counts = {path: sum(1 for _ in mutants((TOP / path).read_text(), path)) for path in paths}
    share = sample / max(sum(counts.values()), 1)
    chance = random.Random(seed)
    return {
        path: sorted(chance.sample(range(count), min(count, max(5, round(share * count)))))
        for path, count in counts.items()
        if count
    }


def run_once(finished: Path, path: str, chosen: list[int]) -> list[dict[str, Any]]:
    """The outcomes of a module's mutants; those of runs before count as long as they cannot have changed.

    A mutant that was noticed stays noticed while the module and the file of the test that failed are the same. The
    others are tried again as soon as any of the module's tests changes.
    """
    file = finished / f"{path.replace('/', '.')}.json"
    found = json.loads(file.read_text()) if file.is_file() else {}
    known: dict[str, dict[str, Any]] = found.get("rows", {}) if found.get("module") == digest(path) else {}
    tests = tests_of(path)
    rows = {int(number): row for number, row in known.items() if row["tests"] == digest(*_behind(row, tests))}
    rows |= run(path, [number for number in chosen if number not in rows], tests)
    kept = {number: row | {"tests": digest(*_behind(row, tests))} for number, row in sorted(rows.items())}
    write_text(file, json.dumps({"module": digest(path), "rows": kept}))
    return [row for number, row in rows.items() if number in chosen]


def _behind(row: dict[str, Any], tests: list[str]) -> list[str]:
    """The files that an outcome depends on, beside the module."""
    return [row["by"].split("::")[0]] if "by" in row else tests


def digest(*paths: str) -> str:
    """A digest of files; one that is gone is empty."""
    files = [TOP / path for path in paths]
    return sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:16]


def run(path: str, chosen: list[int], tests: list[str]) -> dict[int, dict[str, Any]]:
    """The outcomes of these mutants of one module, by number."""
    if not chosen:
        return {}
    command = [sys.executable, "-m", "benchmarks.mutation.run_module", path, json.dumps(chosen), *tests]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    noticed = sum(row["outcome"] in ("killed", "timeout") for row in rows)
    print(f"{path}: {noticed} of {len(rows)} noticed {done.stderr.strip()[-200:]}", flush=True)
    return dict(zip(chosen, rows, strict=False))


if __name__ == "__main__":
    main()
