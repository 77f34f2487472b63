"""What the pipeline releases against every single variant, on one data set: paired intervals, and the next event.

    python -m benchmarks.models.bars grocery 7 8 9     with each of these seeds
    python -m benchmarks.models.bars online_retail_repeats
    python -m benchmarks.models.bars news 7 FOLDER     there; what `tune` has found in it is used, the rest is made anew

It writes benchmarks/results/bars_<case>.json. Everything runs from raw data to the gate, as `dvc repro` does. NDCG@10,
differences user by user in the test window.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks import provenance
from benchmarks.models.next_event import bundle_of
from recsys import params
from recsys.data import split as splits
from recsys.evaluation import gate, next_event
from recsys.evaluation.next_event import LIVE
from recsys.recommend.recommender import Recommender
from tests.support import stages

REPEATS = "_repeats"  # behind the name of a data set: with repeats allowed
EVENTS, REFRESH_S = 2000, 60.0


def main(case: str, seeds: list[int], folder: Path | None = None) -> None:
    """Run, measure, print, write."""
    origin, found = provenance.describe(), {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as temporary:
            workspace = prepare(folder or Path(temporary), case, seed)
            if error := stages.run([workspace])[workspace]:
                sys.exit(f"error: {error}")
            found[str(seed)] = measure(workspace)
        print(case, seed, json.dumps(found[str(seed)], indent=1), flush=True)
    provenance.write(f"bars_{case}", origin, {"seeds": found})


def prepare(folder: Path, case: str, seed: int) -> Path:
    """Write the settings of a case: all variants are baselines, so that each has a paired difference to the default."""
    content = yaml.safe_load((provenance.TOP / "params.yaml").read_text(encoding="utf-8"))
    content |= {"dataset": case.removesuffix(REPEATS), "seed": seed}
    content["evaluate"]["baselines"] = list(content["variants"])
    if case.endswith(REPEATS):
        content["datasets"][content["dataset"]]["split"]["allow_repeat"] = True
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder


def measure(workspace: Path) -> dict[str, Any]:
    """The decision; the released lists by segment, against every other variant's; and the next event."""
    decision = gate.load(workspace / "metrics/gate.json")
    trained = decision.without_live or decision.variant
    table = pl.read_csv(workspace / "metrics/intervals.csv").filter(metric="ndcg@10")
    shown = ["segment", "baseline", "value", "difference", "difference_low", "difference_high"]
    segments = pl.col("segment").is_in(["all", "new_user_1", "new_user_3", "new_user_5", "new_user_10"])
    lines = table.filter(segments, variant=trained).filter(pl.col("baseline") != trained).select(shown)
    new_items = json.loads((workspace / "metrics/new_items.json").read_text(encoding="utf-8"))
    return {
        "released": decision.variant,
        "without_live": decision.without_live,
        "reason": decision.reason,
        "candidates": decision.candidates,
        "new_items": new_items.get(trained),
        "variants": table.filter(segment="all").unique("variant").sort("value", descending=True)
        .select("variant", "value", "low", "high").to_dicts(),
        "differences": lines.to_dicts(),
        "next_event": _next_event(workspace, decision.variant, trained),
    }  # fmt: skip


def _next_event(workspace: Path, released: str, trained: str) -> dict[str, float] | None:
    """NDCG@10 of the next event of the test window, frozen and live; None where windows overlap in time."""
    settings, split = params.load(workspace / "params.yaml"), splits.load(workspace / "data/split")
    if split.end("test") is None:
        return None
    with bundle_of(workspace, settings, split) as loaded:
        names = dict.fromkeys([released, trained, "popular", "als_recent", "covisit", "live"])
        asked = {name: Recommender(loaded, name) for name in names}
        table = next_event.replay(asked, split, "test", EVENTS, REFRESH_S, settings.seed).table()
    whole = table.filter(pl.col("from_hours").is_null())
    found = {line["variant"]: round(line["ndcg"], 4) for line in whole.iter_rows(named=True)}
    frozen = max(value for name, value in found.items() if not name.endswith(LIVE))
    return found | {"released over the best frozen": round(found[released + LIVE] / max(frozen, 1e-9), 3)}


if __name__ == "__main__":
    last = Path(sys.argv[-1]).absolute() if "/" in sys.argv[-1] else None
    main(sys.argv[1], [int(word) for word in sys.argv[2:] if word.isdigit()] or [7], last)
