"""What the content model costs: training beside ALS on the same data, and adding or changing items in a loaded bundle.

    python -m benchmarks.models.content_cost WORKSPACE    where `dvc repro` has run; writes
                                                   benchmarks/results/content_cost_<data set>.json

Each fit runs in a process of its own, after its imports, in turns with the other model: the least of five counts.
"""

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import polars as pl

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle
from recsys.bundle.items import item_upsert
from recsys.data import split
from recsys.params import extensions

MODELS = ("als", "content")
TURNS = 5
ITEMS = (1, 100, 1000)


def main(workspace: Path, turns: int = TURNS) -> None:
    """Measure and write."""
    origin = provenance.describe()
    settings = params.load(workspace / "params.yaml")
    fits = [{name: _in_a_process(name, workspace) for name in MODELS} for _ in range(turns)]
    seconds = {name: round(min(turn[name] for turn in fits), 3) for name in MODELS}
    found = {
        "fit_seconds": seconds,
        "content_over_als": round(seconds["content"] / seconds["als"], 2),
        "upsert_ms": upsert(workspace),
    }
    print(json.dumps(found))
    provenance.write(f"content_cost_{settings.dataset}", origin, found)


def upsert(workspace: Path) -> dict[str, dict[int, float]]:
    """Milliseconds for so many items at once, new ones and known ones whose content changed, the least of five."""
    loaded = bundle.load(workspace / "bundle")
    frame = loaded.catalogue.frame
    items = frame.select([name for name in frame.columns if name in item_upsert.COLUMNS]).head(max(ITEMS))
    kinds = {
        "new": items.with_columns(item_id=pl.concat_str(pl.lit("new-"), pl.col("item_id"))),
        "changed": items.with_columns(title=pl.concat_str(pl.col("title"), pl.lit(" again"))),
    }
    return {kind: {n: _fastest(loaded, table.head(n)) for n in ITEMS} for kind, table in kinds.items()}


def _fastest(loaded: bundle.Bundle, items: pl.DataFrame) -> float:
    took = []
    for _ in range(TURNS):
        start = perf_counter()
        item_upsert.upsert(loaded, items)
        took.append(perf_counter() - start)
    return round(1e3 * min(took), 1)


def _in_a_process(model: str, workspace: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.models.content_cost", str(workspace), model]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return float(done.stdout)


def fit(workspace: Path, name: str) -> float:
    """Seconds of one fit on everything before the test window."""
    settings = params.load(workspace / "params.yaml")
    data = split.load(workspace / "data/split").training("test", settings.seed, settings.threads)
    module = extensions.load("models", name)
    config = module.Config(**settings.model(name))
    start = perf_counter()
    module.fit(data, config)
    return perf_counter() - start


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(fit(Path(sys.argv[1]), sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
