"""Measures how many small mistakes in the code its tests notice (mutation testing).

    python -m benchmarks.mutation                      # a seeded sample of 1,000 mutants
    python -m benchmarks.mutation --sample 40 recsys/business_rules/filters

Each mutant runs against the tests of its own room only. A timeout counts as noticed. Writes
benchmarks/results/mutation.json with every survivor. An interrupted run is resumed: outcomes are stored in
build/mutation, and used while neither the module nor its tests have changed.
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
from benchmarks.mutation.skip_slow import SLOW
from recsys.output import write_text

FINISHED = TOP / "build" / "mutation"


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
    with ThreadPoolExecutor(given.jobs) as pool:
        rows = [row for some in pool.map(lambda group: run(*group), groups(drawn)) for row in some]
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
    """Of every module a share of its mutants, at least five, by number; a change of one module leaves the others."""
    counts = {path: sum(1 for _ in mutants((TOP / path).read_text(), path)) for path in paths}
    share = sample / max(sum(counts.values()), 1)
    return {
        path: sorted(random.Random(f"{seed} {path}").sample(range(count), min(count, max(5, round(share * count)))))
        for path, count in counts.items()
        if count
    }


def groups(drawn: dict[str, list[int]]) -> list[tuple[list[str], dict[str, list[int]]]]:
    """Tests and the modules that they are the tests of. A module that has slow tests of its own is alone."""
    found: dict[tuple[str, ...], dict[str, list[int]]] = {}
    for path, numbers in drawn.items():
        alone = [path] if path.endswith(tuple(filter(None, SLOW.values()))) else []
        found.setdefault((*tests_of(path), *alone), {})[path] = numbers
    return [([test for test in tests if test not in of], of) for tests, of in found.items()]


def run(tests: list[str], chosen: dict[str, list[int]], finished: Path = FINISHED) -> list[dict[str, Any]]:
    """The outcomes of the chosen mutants of modules; those of runs before count as long as they cannot have changed.

    A mutant that was noticed stays noticed while the module and the file of the test that failed are the same. The
    others are tried again as soon as any of the tests changes.
    """
    known = {path: _known(finished, path, tests) for path in chosen}
    rest = {path: [at for at in numbers if at not in known[path]] for path, numbers in chosen.items()}
    if rest := {path: numbers for path, numbers in rest.items() if numbers}:
        command = [sys.executable, "-m", "benchmarks.mutation.run_room", json.dumps(rest), *chosen, *tests]
        with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True) as running:
            for line in running.stdout or ():
                row = json.loads(line)
                row["tests"] = digest(*_behind(row, tests))
                rows = known[row["path"]]
                rows[row["number"]] = row
                write_text(_file(finished, row["path"]), json.dumps({"module": digest(row["path"]), "rows": rows}))
                print(f"{row['path']}:{row['line']} {row['what']}: {row['outcome']}", flush=True)
    return [known[path][at] for path, numbers in chosen.items() for at in numbers if at in known[path]]


def _known(finished: Path, path: str, tests: list[str]) -> dict[int, dict[str, Any]]:
    file = _file(finished, path)
    found = json.loads(file.read_text()) if file.is_file() else {}
    rows = found["rows"] if found.get("module") == digest(path) else {}
    return {int(number): row for number, row in rows.items() if row["tests"] == digest(*_behind(row, tests))}


def _file(finished: Path, path: str) -> Path:
    return finished / f"{path.replace('/', '.')}.json"


def _behind(row: dict[str, Any], tests: list[str]) -> list[str]:
    """The files that an outcome depends on, beside the module."""
    return [row["by"].split("::")[0]] if "by" in row else tests


def digest(*paths: str) -> str:
    """A digest of files; one that is gone is empty."""
    files = [TOP / path for path in paths]
    return sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:16]


if __name__ == "__main__":
    main()
