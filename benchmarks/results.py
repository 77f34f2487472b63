"""The results table of the README, measured: each data set in a fresh clone, from raw data to bundle.

    python -m benchmarks.results                  every data set, then the table
    python -m benchmarks.results movielens        one of them

What is measured is the last commit. Real data come from the publisher, or from the folder RECSYS_DATA_DIR.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import provenance
from benchmarks.figures import documents
from benchmarks.figures.training import SHOWN, TITLES

MEASURES = ("recsys/stages", "dvc.yaml", "params.yaml")
ROOT = provenance.TOP


def measure(dataset: str) -> dict[str, Any]:
    """The figures of a run of the whole pipeline for one data set in a clone of its own."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        _run(Path(folder), "git", "clone", "--quiet", str(ROOT), str(clone))
        _run(clone, sys.executable, "-m", "recsys.cli", "use", dataset)
        started = time.perf_counter()
        _run(clone, sys.executable, "-m", "dvc", "repro")
        seconds = round(time.perf_counter() - started, 1)
        return figures(clone, dataset, seconds)


def figures(workspace: Path, dataset: str, seconds: float) -> dict[str, Any]:
    """What a finished run of `dvc repro` measured."""
    table = pl.read_csv(workspace / "metrics" / "intervals.csv")
    manifest = json.loads((workspace / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    protocol = json.loads((workspace / "data" / "split" / "split.json").read_text(encoding="utf-8"))["protocol"]
    everyone = table.filter(pl.col("segment") == "all", pl.col("baseline") == "popular")
    return {
        "dataset": dataset,
        "pipeline_seconds": seconds,
        "protocol": protocol,
        "counts": manifest["counts"],
        "default_variant": manifest["default_variant"],
        "users": everyone["users"][0],
        "metrics": everyone.filter(pl.col("metric").is_in(list(SHOWN))).select(
            "variant", "metric", "value", "low", "high", "difference", "difference_low", "difference_high"
        ).to_dicts(),
        "candidates": manifest["metrics"].get("candidates"),
        "segments": segments(table),
    }  # fmt: skip


def segments(table: pl.DataFrame) -> dict[str, Any]:
    """NDCG@10 of every variant in every segment, and its lift over each baseline as shares of the baseline's NDCG."""
    found: dict[str, Any] = {}
    for row in table.filter(metric="ndcg@10").iter_rows(named=True):
        here = found.setdefault(row["segment"], {}).setdefault(row["variant"], {"ndcg@10": row["value"], "lift": {}})
        if row["difference"] is not None and (base := row["value"] - row["difference"]) > 0:
            here["lift"][row["baseline"]] = {
                name: round(row[column] / base, 4)
                for name, column in (("mean", "difference"), ("low", "difference_low"), ("high", "difference_high"))
            }
    return found


def _run(folder: Path, *command: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, check=True)


def main(arguments: list[str]) -> None:
    """Measure the named data sets, or all, then write the figures of the documents."""
    if unknown := set(arguments) - TITLES.keys():
        sys.exit(f"error: unknown data set {sorted(unknown)[0]!r}, expected some of {', '.join(TITLES)}")
    for dataset in arguments or list(TITLES):
        origin = provenance.describe()
        provenance.write(dataset, origin, measure(dataset), provenance.DOCS)
        print(f"{dataset}: written to docs/results/{dataset}.json", file=sys.stderr)
    documents.write()


if __name__ == "__main__":
    main(sys.argv[1:])
