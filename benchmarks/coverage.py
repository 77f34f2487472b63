"""Measures which lines and branches the tests run; writes benchmarks/results/coverage.json and the table of
docs/quality.md.

    python -m benchmarks.coverage

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
from benchmarks.figures import documents

MEASURES = ["recsys", "serving"]
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
    >>> by_package({"recsys/data/numbering.py": {"summary": counts}})["all"]
    {'lines': 9, 'covered_lines': 8, 'branches': 2, 'covered_branches': 1}
    """
    packages: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for path, file in files.items():
        package = "/".join(Path(path).parent.parts[:2])
        for name, key in COUNTS.items():
            packages[package][name] += file["summary"][key]
    total = {name: sum(package[name] for package in packages.values()) for name in COUNTS}
    return {"all": total, "packages": dict(sorted(packages.items()))}


if __name__ == "__main__":
    described = provenance.describe()
    provenance.write("coverage", described, measure())
    documents.write()
