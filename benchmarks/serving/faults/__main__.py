"""`python -m benchmarks.serving.faults [--minutes 5] [FAULT ...]`, see `measure.py`."""

import argparse

from benchmarks.serving.faults.catalogue import FAULTS
from benchmarks.serving.faults.measure import MINUTES, main

options = argparse.ArgumentParser()
options.add_argument("--minutes", type=float, default=MINUTES, help="how long each fault is measured")
options.add_argument("faults", nargs="*", default=list(FAULTS), metavar="FAULT")
chosen = options.parse_args()
main(chosen.faults, minutes=chosen.minutes)
