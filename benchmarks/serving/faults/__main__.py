"""`python -m benchmarks.serving.faults [FAULT ...]`, see `measure.py`."""

import sys

from benchmarks.serving.faults.catalogue import FAULTS
from benchmarks.serving.faults.measure import main

main(sys.argv[1:] or list(FAULTS))
