"""A month of a shop: with incidents, with incidents and the loop switched off, and quiet: `make rehearsal`, or

    python -m benchmarks.rehearsal [--month quiet] [--days 30] [--seed 1] [--minutes 60]
    writes benchmarks/results/rehearsal.json, docs/rehearsal.md and docs/results/rehearsal.svg

Without --month all three run, one after the other. A month that ran before stays in the results.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.rehearsal import alerts, clock, page, workspace
from benchmarks.rehearsal.report import report

MEASURES = ("serving/__main__.py", "recsys/cli/retrain.py", "dvc.yaml", "deploy/prometheus/alerts.yml")
MONTHS = {"quiet": ["--quiet"], "incidents": [], "loop off": ["--no-loop"]}
NAME = "rehearsal"
MEMORY = Path("/dev/shm")  # a month of commits in minutes, which no disk has to see


def main() -> None:
    """Prepare the shop, run the months, and write the report."""
    options = argparse.ArgumentParser()
    options.add_argument("--month", choices=MONTHS, action="append", help="only this one")
    options.add_argument("--days", type=int, default=30)
    options.add_argument("--visits", type=int, default=700, help="a day")
    options.add_argument("--minutes", type=int, default=60, help="real ones, after which a month ends with its day")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--incident", action="append", default=[], help="only this one")
    options.add_argument(
        "--no-retrain", action="store_true", help="and none of the incidents that only a nightly run sees"
    )
    options.add_argument("--folder", type=Path, help="where the months run; it stays")
    chosen = options.parse_args()
    if lacking := clock.missing():
        raise SystemExit(f"not installed: {', '.join(lacking)} (Debian: apt install gcc libc6-dev prometheus)")
    origin = provenance.describe()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        folder = (chosen.folder or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        prepared = folder / "prepared"
        if not prepared.exists():
            workspace.prepare(prepared)
        for month in chosen.month or MONTHS:
            settings = [f"--{each}={getattr(chosen, each)}" for each in ("seed", "days", "visits", "minutes")]
            settings += [f"--incident={each}" for each in chosen.incident]
            settings += ["--no-retrain"] if chosen.no_retrain else []
            found = run(prepared, folder / month.replace(" ", "-"), [*settings, *MONTHS[month]])
            save(month, {"provenance": origin, "seed": chosen.seed, **found})
    months = json.loads(path().read_text())["months"]
    if set(MONTHS) <= set(months):
        provenance.write(NAME, origin, {"report": report(months), "months": months})
        page.write(json.loads(path().read_text()))


def run(prepared: Path, folder: Path, arguments: list[str]) -> dict[str, Any]:
    """Run one month in a process under the shop's clock; return what happened, and the alerts that fired."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    workspace.copy(prepared, folder, f"sqlite:///{folder}/store.sqlite")
    command = [sys.executable, "-m", "benchmarks.rehearsal.month", str(folder), *arguments]
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(command, check=True, env=clock.environment(Path(name)), cwd=provenance.TOP)
    found: dict[str, Any] = json.loads((folder / "month.json").read_text())
    end = found["opening"] + found["days"] * 86_400
    loop = "--no-loop" not in arguments
    fired = alerts.evaluate(folder / "scrapes.om", folder / "prometheus", found["opening"], end) if loop else []
    return {**found, "alerts": [asdict(each) for each in fired]}


def path() -> Path:
    """Return the results file."""
    return provenance.RESULTS / f"{NAME}.json"


def save(month: str, found: dict[str, Any]) -> None:
    """Put one month into the results."""
    before = json.loads(path().read_text()) if path().exists() else {}
    months = {**before.get("months", {}), month: found}
    provenance.write(NAME, found["provenance"], {"months": months})


if __name__ == "__main__":
    main()
