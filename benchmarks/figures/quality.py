"""What docs/quality.md shows of the tests."""

from benchmarks import provenance
from benchmarks.figures.markdown import read, table


def coverage() -> str:
    """Lines and branches that the tests run, by package."""
    if not (provenance.RESULTS / "coverage.json").is_file():
        return "Not measured yet."
    found = read("coverage")
    rows: list[list[object]] = [
        [name, counts["lines"], share(counts["covered_lines"], counts["lines"]),
         counts["branches"], share(counts["covered_branches"], counts["branches"])]
        for name, counts in [*found["packages"].items(), ("**all**", found["all"])]
    ]  # fmt: skip
    return table(["package", "lines", "run by a test", "branches", "taken by a test"], rows, "coverage")


def share(part: int, whole: int) -> str:
    """In percent, rounded down, so that 100 % means all.

    >>> share(9999, 10000), share(0, 0)
    ('99.9 %', '')
    """
    return f"{1000 * part // whole / 10:.1f} %" if whole else ""
