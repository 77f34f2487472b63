"""The bar for a release: the default variant beats the baseline, and not by luck; and no segment pays for it.

To beat is to have the lower end of the paired interval above zero. A floor (`gate.floors`) asks for less: only what is
surely worse than its baseline is refused, the upper end of the paired interval below -margin.
"""

from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import GateError
from recsys.evaluation import results, segments
from recsys.params import Floor, Params


def check(path: Path, params: Params) -> dict[str, Any]:
    """Compare the figures with `params.gate`; return, for the manifest, what was won in one line and all figures.

    path: the table of intervals that the stage `evaluate` wrote.

    Raises:
        GateError: "metrics/intervals.csv: 'als' does not beat 'popular' on ndcg@10 in segment 'all': ..."
        GateError: "metrics/intervals.csv: 'als' is below 1 of 4 floors: 'popular' on ndcg@10 in segment 'few': ..."
    """
    gate, variant = params.gate, params.data.default_variant
    if variant == gate.baseline:
        raise GateError(f"default_variant and gate.baseline are both {variant!r}: nothing to beat; change one of them")
    if not path.is_file():
        raise GateError(f"{path}: no such file, the gate needs it; run `dvc repro evaluate`")
    table = results.read(path)
    row = _row(table, path, variant=variant, segment=gate.segment, metric=gate.metric, baseline=gate.baseline)
    if row["difference_low"] <= 0:
        raise GateError(
            f"{path}: {variant!r} does not beat {_figures(row)}; wanted the lower end above 0: "
            "tune the model or choose another default_variant"
        )
    below = [figures for floor in gate.floors if (figures := _below(floor, table, path, params))]
    if below:
        raise GateError(
            f"{path}: {variant!r} is below {len(below)} of {len(gate.floors)} floors: {'; '.join(below)}; wanted no "
            "upper end below 0: repair these segments or choose another default_variant"
        )
    variants = table["variant"].unique(maintain_order=True)
    shown = {name: results.flat(results.against(table, gate.baseline), name, params.evaluate.at) for name in variants}
    return {"gate": f"{variant!r} beats {_figures(row)}", "variants": shown}


def _below(floor: Floor, table: pl.DataFrame, path: Path, params: Params) -> str | None:
    """The figures of a floor that is missed. A segment that nobody belongs to has no floor, nor has the baseline."""
    variant, known = params.data.default_variant, segments.names(params.evaluate)
    if floor.segment not in known:
        raise GateError(f"gate.floors: no segment is called {floor.segment!r}; there are: {', '.join(known)}")
    if variant == floor.baseline or floor.segment not in table["segment"]:
        return None
    row = _row(table, path, variant=variant, segment=floor.segment, metric=floor.metric, baseline=floor.baseline)
    tolerated = f", tolerated {-floor.margin:+.4f}" if floor.margin else ""
    return _figures(row) + tolerated if row["difference_high"] < -floor.margin else None


def _figures(row: dict[str, Any]) -> str:
    return (
        f"{row['baseline']!r} on {row['metric']} in segment {row['segment']!r}: {row['value']:.4f} against "
        f"{row['value'] - row['difference']:.4f}, difference {row['difference']:+.4f}, "
        f"interval {row['difference_low']:+.4f} to {row['difference_high']:+.4f}"
    )


def _row(table: pl.DataFrame, path: Path, **wanted: str) -> dict[str, Any]:
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
