"""Where a figure comes from: commit, command, processor and kernel. Every results file holds it.

origin = provenance.describe()               # before the work, or the work is in the load
provenance.write("name", origin, figures)    # benchmarks/results/name.json
"""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from recsys.output import write_text

TOP = Path(__file__).resolve().parents[1]
ELSEWHERE = os.environ.get("RECSYS_BENCHMARK_RESULTS")  # a folder for runs that only try whether a benchmark works
RESULTS = Path(ELSEWHERE or TOP / "benchmarks" / "results")
DOCS = Path(ELSEWHERE or TOP / "docs" / "results")
PACKAGES = ("numpy", "polars", "implicit", "torch", "faiss-cpu", "dvc", "fastapi")
CODE = ("--", ".", ":!benchmarks/results", ":!docs/results", ":!*.md")  # all but results, and pages that show them
GIB = 2**30


def describe() -> dict[str, Any]:
    """Commit and command, processor, BLAS kernel, cores this process may use, memory in GiB, load, versions, day.

    Nothing names the host. `commit` ends in "-dirty" where other files than results and pages differ from it: one
    benchmark after another in the same folder measures the same code. `load_1min` is the system's load average: where
    it is not far below the number of cores, something else was running, and times are too long.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "commit": _git("rev-parse", "HEAD") + ("-dirty" if _git("diff", "--name-only", "HEAD", *CODE) else ""),
        "command": _command(),
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "kernel": _kernel(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory / GIB, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def write(name: str, origin: dict[str, Any], figures: dict[str, Any], folder: Path | None = None) -> None:
    """Write `<folder>/<name>.json`, by default in benchmarks/results: `origin` of `describe`, then the figures."""
    content = {"provenance": origin, **figures}
    write_text((folder or RESULTS) / f"{name}.json", json.dumps(content, indent=1) + "\n")


def _command() -> str:
    """What was typed: the module and its arguments; of a folder elsewhere only the name, it says nothing to others."""
    spec = sys.modules["__main__"].__spec__
    module = "?" if spec is None else spec.name.removesuffix(".__main__")
    arguments = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    return " ".join(["python", "-m", module, *arguments])


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=TOP, check=True, capture_output=True, text=True).stdout.strip()


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _kernel() -> str:
    """Such as "openblas Haswell": the BLAS of numpy and for which processor its code was chosen."""
    found = {
        f"{pool['internal_api']} {pool.get('architecture')}" for pool in threadpool_info() if pool["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "none loaded"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
