"""The bar for a release: the default variant beats the baseline, and not by luck."""

from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import GateError
from recsys.evaluation import results
from recsys.params import Params


def check(path: Path, params: Params) -> dict[str, Any]:
    """Compare the figures with `params.gate`; return, for the manifest, what was won in one line and all figures.

    path: the table of intervals that the stage `evaluate` wrote.

    Raises:
        GateError: "metrics/intervals.csv: 'als' does not beat 'popular' on ndcg@10 in segment 'all': ..."
    """
    gate, variant = params.gate, params.data.default_variant
    if variant == gate.baseline:
        raise GateError(f"default_variant and gate.baseline are both {variant!r}: nothing to beat; change one of them")
    if not path.is_file():
        raise GateError(f"{path}: no such file, the gate needs it; run `dvc repro evaluate`")
    table = results.read(path)
    row = _row(table, path, variant=variant, segment=gate.segment, metric=gate.metric, baseline=gate.baseline)
    low, high, difference = row["difference_low"], row["difference_high"], row["difference"]
    figures = (
        f"{gate.baseline!r} on {gate.metric} in segment {gate.segment!r}: {row['value']:.4f} against "
        f"{row['value'] - difference:.4f}, difference {difference:+.4f}, interval {low:+.4f} to {high:+.4f}"
    )
    if low <= 0:
        raise GateError(
            f"{path}: {variant!r} does not beat {figures}; wanted the lower end above 0: "
            "tune the model or choose another default_variant"
        )
    variants = table["variant"].unique(maintain_order=True)
    shown = {name: results.flat(table, name, params.evaluate.at) for name in variants}
    return {"gate": f"{variant!r} beats {figures}", "variants": shown}


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
