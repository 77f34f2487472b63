"""What is released: the most elaborate candidate that earns its place, if it beats the baseline and no segment pays.

`release_candidates` of the data set go from simple to elaborate. A candidate is admitted when it beats the baseline,
the lower end of the paired interval above zero, and is surely below none of the floors: no upper end below -margin.
The first one admitted stands until a later one is surely better than it in `segment` or one of `earn_in`, and surely
worse in none of them. So a simpler variant stays whenever the difference may be luck.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import GateError
from recsys.evaluation import results, segments
from recsys.params import Floor, Params

Row = dict[str, Any]


@dataclass(frozen=True)
class Decision:
    """variant: what is released, None if no candidate is admitted; reasons: candidate -> why (not), in one line."""

    variant: str | None
    reasons: dict[str, str]


def check(path: Path, params: Params) -> tuple[str, dict[str, Any]]:
    """Decide on the table that the stage `evaluate` wrote; return the variant and, for the manifest, why and figures.

    Raises:
        GateError: "metrics/intervals.csv: 'als' does not beat 'popular' on ndcg@10 in segment 'all': ..."
        GateError: "metrics/intervals.csv: 'als' is below 1 of 4 floors: 'popular' on ndcg@10 in segment 'few': ..."
    """
    if not path.is_file():
        raise GateError(f"{path}: no such file, the gate needs it; run `dvc repro evaluate`")
    table = results.read(path)
    found = decide(table, path, params)
    if found.variant is None:
        raise GateError(f"{path}: {'; and '.join(found.reasons.values())}: tune a model or name other candidates")
    variants, baseline = table["variant"].unique(maintain_order=True), params.gate.baseline
    shown = {name: results.flat(results.against(table, baseline), name, params.evaluate.at) for name in variants}
    return found.variant, {"gate": found.reasons[found.variant], "candidates": found.reasons, "variants": shown}


def decide(table: pl.DataFrame, path: Path, params: Params) -> Decision:
    """Go through the candidates from simple to elaborate; path: where the table comes from, for messages.

    Raises:
        GateError: what the gate asks for is not in the table.
    """
    gate = params.gate
    known = segments.names(params.evaluate)
    for segment in [*gate.earn_in, *(floor.segment for floor in gate.floors)]:
        if segment not in known:
            raise GateError(f"gate: no segment is called {segment!r}; there are: {', '.join(known)}")
    standing: str | None = None
    reasons = {}
    for variant in params.data.release_candidates:
        if variant == gate.baseline:
            raise GateError(
                f"release_candidates and gate.baseline name {variant!r}: nothing to beat; change one of them"
            )
        won = _row(table, path, variant=variant, segment=gate.segment, metric=gate.metric, baseline=gate.baseline)
        below = [figures for floor in gate.floors if (figures := _below(floor, variant, table, path))]
        if won["difference_low"] <= 0:
            reasons[variant] = f"{variant!r} does not beat {_figures(won)}; wanted the lower end above 0"
        elif below:
            reasons[variant] = (
                f"{variant!r} is below {len(below)} of {len(gate.floors)} floors: {'; '.join(below)}; "
                "wanted no upper end below 0"
            )
        elif standing is None:
            standing, reasons[variant] = variant, f"{variant!r} beats {_figures(won)}"
        else:
            earned, reasons[variant] = _earns(variant, standing, table, path, params)
            standing = variant if earned else standing
    return Decision(standing, reasons)


def _earns(variant: str, standing: str, table: pl.DataFrame, path: Path, params: Params) -> tuple[bool, str]:
    """Whether a candidate takes the place of a simpler one, and the figures that say so."""
    gate = params.gate
    asked = [name for name in (gate.segment, *gate.earn_in) if name in table["segment"]]
    rows = [_row(table, path, variant=variant, segment=name, metric=gate.metric, baseline=standing) for name in asked]
    if worse := [row for row in rows if row["difference_high"] < 0]:
        return False, f"{variant!r} is surely worse than {_figures(worse[0])}"
    if better := [row for row in rows if row["difference_low"] > 0]:
        return True, f"{variant!r} beats {'; and '.join(_figures(row) for row in better)}"
    return (
        False,
        f"{variant!r} may be no better than {'; and '.join(_figures(row) for row in rows)}: the simpler one stays",
    )


def _below(floor: Floor, variant: str, table: pl.DataFrame, path: Path) -> str | None:
    """The figures of a floor that is missed. A segment that nobody belongs to has no floor, nor has the baseline."""
    if variant == floor.baseline or floor.segment not in table["segment"]:
        return None
    row = _row(table, path, variant=variant, segment=floor.segment, metric=floor.metric, baseline=floor.baseline)
    tolerated = f", tolerated {-floor.margin:+.4f}" if floor.margin else ""
    return _figures(row) + tolerated if row["difference_high"] < -floor.margin else None


def _figures(row: Row) -> str:
    return (
        f"{row['baseline']!r} on {row['metric']} in segment {row['segment']!r}: {row['value']:.4f} against "
        f"{row['value'] - row['difference']:.4f}, difference {row['difference']:+.4f}, "
        f"interval {row['difference_low']:+.4f} to {row['difference_high']:+.4f}"
    )


def _row(table: pl.DataFrame, path: Path, **wanted: str) -> Row:
    for column, value in wanted.items():
        known = table[column].drop_nulls().unique(maintain_order=True).to_list()
        table = table.filter(pl.col(column) == value)
        if table.is_empty():
            choices = ", ".join(known)
            raise GateError(f"{path}: no row with {column} {value!r}, the gate needs it; there are: {choices}")
    row = table.row(0, named=True)
    if row["difference_low"] is None:
        raise GateError(f"{path}: {wanted['metric']} of {wanted['variant']!r} has no interval; gate on another metric")
    return row
