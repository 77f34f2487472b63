"""What would be released against every single variant, on one data set: paired intervals, and the next event.

    python -m benchmarks.models.bars grocery 7 8 9     with each of these seeds
    python -m benchmarks.models.bars online_retail_repeats
    python -m benchmarks.models.bars news 7 FOLDER     there; what a run has written in it is used

It writes benchmarks/results/bars_<case>.json. All stages run from raw data to the rankers, with the settings that are
typed, or that `tune` finds. NDCG@10 of whole lists, without places for new items; differences user by user in the test
window. The gate decides on that segment alone, so without its floors.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks import provenance
from benchmarks.models.next_event import by_hours
from recsys import params
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.data import split as splits
from recsys.data.split import ScoredFold, Split
from recsys.evaluation import answers, fold_bundle, next_event, results, sample, segments
from recsys.evaluation.choices import gate, live_choice
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.next_event import LIVE
from recsys.params import Params
from recsys.rankers._learned import artifact
from recsys.recommend.recommender import Recommender
from tests.support import stages

REPEATS = "_repeats"  # behind the name of a data set: with repeats allowed
USERS, EVENTS, REFRESH_S = 2000, 1000, 60.0


def main(case: str, seeds: list[int], folder: Path | None = None) -> None:
    """Run, measure, print, write."""
    origin, found = provenance.describe(), {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as temporary:
            workspace = prepare(folder or Path(temporary), case, seed)
            if error := stages.run([workspace], until="rank")[workspace]:
                sys.exit(f"error: {error}")
            found[str(seed)] = measure(workspace)
        print(case, seed, json.dumps(found[str(seed)], indent=1), flush=True)
    provenance.write(f"bars_{case}", origin, {"seeds": found})


def prepare(folder: Path, case: str, seed: int) -> Path:
    """Write the settings of a case."""
    content = yaml.safe_load((provenance.TOP / "params.yaml").read_text(encoding="utf-8"))
    content |= {"dataset": case.removesuffix(REPEATS), "seed": seed}
    if case.endswith(REPEATS):
        content["datasets"][content["dataset"]]["split"]["allow_repeat"] = True
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder


def measure(workspace: Path) -> dict[str, Any]:
    """The decision, every variant with its difference from the trained release, and the next event."""
    split, rankers = splits.load(workspace / "data/split"), workspace / "rankers/test"
    settings = artifact.narrowed(params.load(workspace / "params.yaml"), rankers)
    settings = settings.model_copy(update={"gate": settings.gate.model_copy(update={"improve_in": [], "floors": []})})
    with _bundle(workspace, settings, split, "valid") as before, _bundle(workspace, settings, split, "test") as loaded:
        asked = sample.draw(split, "test", loaded.catalogue.popularity, USERS, settings.seed)
        parts, names = [segments.everyone(asked)], list(settings.variants)
        lists = {
            name: answers.recommend_all(Recommender(loaded, name), split, asked, parts, 10, settings.seed)
            for name in names
        }
        values = results.per_segment(lists, asked, parts, "ndcg@10")
        decision = live_choice.choose(before, split, settings, gate.decide(values, settings))
        trained = decision.without_live or decision.variant
        happened = _next_event(
            loaded, split, settings, dict.fromkeys([decision.variant, trained, "popular", "covisit"])
        )
    bootstrap = Bootstrap(settings.evaluate.bootstrap, settings.evaluate.confidence, settings.seed)
    table = results.measure(lists, asked, parts, [10], [trained], bootstrap).filter(metric="ndcg@10")
    return {
        "released": decision.variant,
        "without_live": decision.without_live,
        "reason": decision.reason,
        "live": decision.candidates.get("live"),
        "ranker": artifact.read(rankers / "learned").model_dump(exclude={"features", "formula"}),
        "users": table["users"][0],
        "variants": table.drop("segment", "users", "metric", "baseline").to_dicts(),
        "next_event": happened,
    }


def _next_event(loaded: Bundle, split: Split, settings: Params, names: dict[str, None]) -> dict[str, float] | None:
    """NDCG@10 of the next event of the test window, frozen and live; None where windows overlap in time."""
    if split.end("test") is None:
        return None
    asked = {name: Recommender(loaded, name) for name in names}
    table = by_hours(next_event.replay(asked, split, "test", EVENTS, REFRESH_S, settings.seed))
    whole = table.filter(pl.col("from_hours").is_null())
    found = {line["variant"]: round(line["ndcg"], 4) for line in whole.iter_rows(named=True)}
    frozen = max(value for name, value in found.items() if not name.endswith(LIVE))
    return found | {"released over the best frozen": round(found[f"{next(iter(names))}{LIVE}"] / max(frozen, 1e-9), 3)}


@contextmanager
def _bundle(workspace: Path, settings: Params, split: Split, fold: ScoredFold) -> Iterator[Bundle]:
    """The bundle that is scored on the window of a fold."""
    models, indexes = (workspace / name / fold for name in ("models", "indexes"))
    made = fold_bundle.parts(split, fold, models, indexes, settings, rankers=workspace / "rankers/test")
    with tempfile.TemporaryDirectory() as folder:
        bundle.write(made, settings, {}, Path(folder) / "bundle")
        yield bundle.load(Path(folder) / "bundle")


if __name__ == "__main__":
    last = Path(sys.argv[-1]).absolute() if "/" in sys.argv[-1] else None
    main(sys.argv[1], [int(word) for word in sys.argv[2:] if word.isdigit()] or [7], last)
