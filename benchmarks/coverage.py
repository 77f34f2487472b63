"""Which lines and branches the tests run: writes benchmarks/results/coverage.json and the table of docs/quality.md.

    python -m benchmarks.coverage            all tests, measured
    python -m benchmarks.coverage --table    only write the table again from the results file

Processes that tests start (stages of the pipeline, servers) count, see `tool.coverage` in pyproject.toml.
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import provenance
from recsys.output import write_text

PAGE = provenance.TOP / "docs" / "quality.md"
RESULT = provenance.RESULTS / "coverage.json"
BEGIN, END = "<!-- coverage: written by make coverage -->", "<!-- end of coverage -->"
COUNTS = {
    "lines": "num_statements",
    "covered_lines": "covered_lines",
    "branches": "num_branches",
    "covered_branches": "covered_branches",
}


def measure() -> dict[str, Any]:
    """Run all tests; count by package."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "pytest", "-n", "2", "--cov", "--cov-report=", f"--cov-report=json:{report}"]
        if subprocess.run(command, cwd=provenance.TOP, check=False).returncode:
            sys.exit("error: a test fails: nothing was written; repair it and run `make coverage` again")
        return by_package(json.loads(report.read_text(encoding="utf-8"))["files"])


def by_package(files: dict[str, Any]) -> dict[str, Any]:
    """Sums of lines and branches for each package, such as `recsys/data`, and for all.

    >>> counts = {"num_statements": 9, "covered_lines": 8, "num_branches": 2, "covered_branches": 1}
    >>> by_package({"recsys/data/matrix.py": {"summary": counts}})["all"]
    {'lines': 9, 'covered_lines': 8, 'branches': 2, 'covered_branches': 1}
    """
    packages: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for path, file in files.items():
        package = "/".join(Path(path).parent.parts[:2])
        for name, key in COUNTS.items():
            packages[package][name] += file["summary"][key]
    total = {name: sum(package[name] for package in packages.values()) for name in COUNTS}
    return {"all": total, "packages": dict(sorted(packages.items()))}


def table(measured: dict[str, Any]) -> str:
    """Markdown: a row for each package, and the sum."""
    origin = measured["provenance"]
    lines = [
        f"Commit `{origin['commit'][:7]}`, {origin['date']}, `{origin['command']}`:",
        "",
        "| package | lines | run by a test | branches | taken by a test |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, counts in [*measured["packages"].items(), ("**all**", measured["all"])]:
        lines_run = share(counts["covered_lines"], counts["lines"])
        branches_taken = share(counts["covered_branches"], counts["branches"])
        lines.append(f"| {name} | {counts['lines']} | {lines_run} | {counts['branches']} | {branches_taken} |")
    return "\n".join(lines)


def share(part: int, whole: int) -> str:
    """In percent, rounded down: 100 % means all."""
    return f"{int(1000 * part / whole) / 10:.1f} %" if whole else ""


def write_table() -> None:
    """Put the table between its markers."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    measured = json.loads(RESULT.read_text(encoding="utf-8"))
    write_text(PAGE, f"{before}{BEGIN}\n{table(measured)}\n{END}{after}")


if __name__ == "__main__":
    if "--table" not in sys.argv[1:]:
        described = provenance.describe()
        provenance.write("coverage", described, measure())
    write_table()
