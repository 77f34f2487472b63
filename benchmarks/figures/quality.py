"""What the documents show of how good tests and checks are."""

from benchmarks import provenance
from benchmarks.figures.markdown import percent, read, table
from benchmarks.mutation.survivors import EXPLAINED


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


def dirty_logs() -> str:
    """Decisions on simulated logs that are as dirty as real ones."""
    found = read("experiments_dirty")
    same, better = found["a_a"], found["a_b"]
    rows: list[list[object]] = [
        [label, *(percent(one[key], 1) for one in (same, better))]
        for label, key in (
            ("p at the planned end below 5 %", "fixed_p_below_5_percent"),
            ("always-valid p below 5 %", "anytime_p_below_5_percent"),
            ("the 95 % interval holds the truth", "interval_holds_the_truth"),
            ('decided "ship"', "ship"),
            ('decided "ship" or "stop"', "ship_or_stop"),
            ("not trusted by a check", "untrusted"),
        )
    ]
    header = ["", f"{same['logs']:,} logs without a difference", f"{better['logs']} logs of +5 %"]
    return table(header, rows, "experiments_dirty")


def mutation() -> str:
    """How many planted faults the tests notice, and where not."""
    if not (provenance.RESULTS / "mutation.json").is_file():
        return "Not measured yet."
    found = read("mutation")
    rows: list[list[object]] = [
        [f"`{room}`", counts["mutants"], share(counts["noticed"], counts["mutants"])]
        for room, counts in found["rooms"].items()
    ]
    rows.append(["**all**", found["mutants"], percent(found["killed_share"], 1)])
    header = ["not noticed in", "line", "change", "why"]
    survived: list[list[object]] = [
        [f"`{row['path']}`", "`" + row["code"].replace("|", "\\|") + "`", row["what"], why(row)]
        for row in found["survivors"]
    ]
    return table(["modules", "mutants", "noticed"], rows, "mutation") + "\n\n" + table(header, survived)


def why(survivor: dict[str, str]) -> str:
    """Say why this mutant survives, or that nobody has said so."""
    return EXPLAINED.get((survivor["path"], survivor["what"], survivor["code"]), "a test is missing")


def share(part: int, whole: int) -> str:
    """In percent, rounded down, so that 100 % means all.

    >>> share(9999, 10000), share(0, 0)
    ('99.9 %', '')
    """
    return f"{1000 * part // whole / 10:.1f} %" if whole else ""
