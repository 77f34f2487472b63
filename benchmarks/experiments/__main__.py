"""Tests the statistics of the readout on simulated shops with known true effects.

python -m benchmarks.experiments [PART ...]    writes benchmarks/results/experiments_<part>.json

log            one large log through the real API: shoppers with repeat visits, one variant for all
a_a            1,000 re-randomisations of its units: false alarms, beside a z-test over requests; 20 looks at each
a_b            planted uplifts of +3 %, 0 and -2 %, and the detectable one: coverage and power
sample_ratio   1 % of one arm's answers lost at 200,000 units, and clean runs
off_policy     doubly robust and SNIPS against the simulator's truth, 500 seeds
dirty          1,000 A/A and 500 A/B logs with wrong clocks, returns, testers and repeated deliveries, by the readout
speed          microseconds of an assignment, with and without OpenFeature
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import provenance
from benchmarks.experiments.checked import off_policy_, sample_ratio, speed
from benchmarks.experiments.dirty import dirty
from benchmarks.experiments.logged import make_log
from benchmarks.experiments.open_bandit import open_bandit
from benchmarks.experiments.trials import a_a, a_b


def main(parts: list[str]) -> None:
    """Measure and write, each part a file of its own."""
    for part in parts:
        origin, started = provenance.describe(), time.perf_counter()
        found = PARTS[part]()
        found["seconds"] = round(time.perf_counter() - started, 1)
        print(part, json.dumps(found, indent=1), flush=True)
        provenance.write(f"experiments_{part}", origin, found)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "log": make_log,
    "a_a": a_a,
    "a_b": a_b,
    "sample_ratio": sample_ratio,
    "off_policy": off_policy_,
    "open_bandit": open_bandit,
    "dirty": dirty,
    "speed": speed,
}

if __name__ == "__main__":
    main(sys.argv[1:] or list(PARTS))
