"""What docs/fork.md shows of the stopwatch."""

from typing import Any

from benchmarks.figures.markdown import read, table

CASES = {"shop": "a shop: {:,} orders", "news": "a news log: {:,} clicks"}
STEPS = ("make setup", "dvc repro")  # commands with a column of their own; the others share one


def stopwatch() -> str:
    """Minutes of each case with its limit, and the processor seconds that its commands used."""
    found = read("stopwatch")
    header = ["minutes", *STEPS, "other commands", "typing", "all", "limit", "CPU"]
    rows = [_row(name, found[name]) for name in CASES if name in found]
    load = found["provenance"]["load_1min"]
    said = f"{found['provenance']['cores']} cores; the load before it began was {load:g}, of other programs."
    return f"{table(header, rows, 'stopwatch')} {said}"


def _row(name: str, case: dict[str, Any]) -> list[object]:
    seconds = {command: _sum(case, "seconds", command) for command in STEPS}
    others = _sum(case, "seconds") - sum(seconds.values())
    minutes = [*seconds.values(), others, case["typing_seconds"]]
    shown = [f"{each / 60:.1f}" for each in minutes]
    processor = f"{_sum(case, 'cpu_seconds') / 60:.1f}"
    return [CASES[name].format(case["rows"]), *shown, case["minutes"], case["limit_minutes"], processor]


def _sum(case: dict[str, Any], unit: str, command: str = "") -> float:
    return sum(step[unit] for step in case["steps"] if step["command"].startswith(command))
