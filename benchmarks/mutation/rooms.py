"""Which modules are mutated, and which tests each has."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
ROOMS = [
    "recsys/recommend",
    "recsys/business_rules/filters",
    "recsys/experiments",
    "recsys/data/split.py",
    "recsys/data/split_protocols.py",
    "recsys/evaluation/metrics.py",
    "recsys/evaluation/intervals.py",
    "serving/stores",
    "serving/service",
]
# Importing it starts the threads of polars: a fork would lack them.
LEFT_OUT = ["test_pooler.py"]


def tests_of(path: str) -> list[str]:
    """The tests of a module's room."""
    module = Path(path)
    room = TOP / "tests" / module.parent.relative_to("recsys" if module.parts[0] == "recsys" else ".")
    tests = [test for test in sorted(room.glob("test_*.py")) if test.name not in LEFT_OUT]
    if room.name in ("data", "evaluation"):  # large rooms of modules that know little of each other
        tests = [test for test in tests if module.stem in test.stem]
    return [str(test.relative_to(TOP)) for test in tests]
