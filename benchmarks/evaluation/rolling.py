"""Measures on your own data how fast a model ages, and how often to train again, by rolling origins.

    python -m benchmarks.evaluation.rolling [WORKSPACE]    where `dvc repro` has run, with a split by time

The test window is cut into four parts. At the start of each part the models are trained again on all that is known by
then. In every part each of the models trained so far answers the same users, with their histories until then and the
same targets: only the age of the model differs. The variant is the released one; its ranker is that of the first
origin. The result is the longest age at which a model has lost less than 2 %; lower bounds are at 95 %, over users.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import SECONDS_PER_DAY
from recsys.data import split as splits
from recsys.data.split import Split
from recsys.evaluation import answers, fold_bundle, results, sample, segments
from recsys.evaluation.choices import gate, new_items
from recsys.evaluation.intervals import paired
from recsys.params import Params
from recsys.ranking import Values
from recsys.recommend.recommender import Recommender

PARTS = 4
LEAST_KEPT = 0.98
LATER = 3  # a fold that is in no window


def rolled(split: Split, starts: list[datetime], part: int) -> Split:
    """The split whose test window is one part of the given one, and whose fit set is everything before."""
    begin, end = starts[part], starts[part + 1]
    time, last = pl.col("timestamp"), part + 1 == len(starts) - 1
    fold = pl.when(time < begin).then(pl.col("fold").clip(0, 1)).when((time < end) | last).then(2).otherwise(LATER)
    facts = split.facts.model_copy(update={"now": split.facts.now | {"test": begin, "all": end}})
    return dataclasses.replace(split, events=split.events.with_columns(fold.cast(pl.UInt8)), facts=facts)


def train(split: Split, folder: Path, settings: Params) -> Bundle:
    """Train all models on the fit set of a split, as the pipeline does, and open the bundle."""
    (folder / "split").mkdir(parents=True)
    splits.save(split, folder / "split")
    for name in settings.models:
        fitted, fold = str(folder / "models" / name), ["--fold", "test", "--split", str(folder / "split")]
        _stage("train", "--model", name, *fold, "--out", fitted)
        _stage("index", "--model", fitted, *fold, "--out", str(folder / "indexes" / name))
    parts = fold_bundle.parts(
        split, "test", folder / "models", folder / "indexes", settings, rankers=Path("rankers/test")
    )
    bundle.write(parts, settings, {}, folder / "bundle")
    return bundle.load(folder / "bundle")


def measure() -> dict[str, Any]:
    """The figures; the working directory is the workspace."""
    settings = new_items.applied(params.load(), new_items.load(Path("metrics/new_items.json")))
    variant, split = gate.load(Path("metrics/gate.json")).variant, splits.load(Path("data/split"))
    if split.facts.protocol != "global_time":
        sys.exit("error: the split is per user, so no model is older than another; wanted protocol 'global_time'")
    begin, end = split.facts.now["test"], split.facts.now["all"]
    starts = [begin + (end - begin) * part / PARTS for part in range(PARTS)] + [end]
    rows = []
    with tempfile.TemporaryDirectory() as top:
        rolling = [rolled(split, starts, part) for part in range(PARTS)]
        bundles = [train(rolling[part], Path(top) / str(part), settings) for part in range(PARTS)]
        for part in range(PARTS):
            found = [
                _ask(bundles[origin], bundles[part], rolling[part], variant, settings) for origin in range(part + 1)
            ]
            rows += [_row(part, origin, found, begin, end) for origin in range(part + 1) if found[part].size]
    days = (end - begin).total_seconds() / SECONDS_PER_DAY / PARTS
    return {"variant": variant, "metric": settings.gate.metric, "rows": rows, **_advice(rows, days)}


def _ask(model: Bundle, known: Bundle, split: Split, variant: str, settings: Params) -> Values:
    """The metric of each user of the part: models of one bundle, histories of another."""
    most, k = settings.evaluate.max_users, int(settings.gate.metric.partition("@")[2])
    asked = sample.draw(split, "test", known.catalogue.popularity, most, settings.seed)
    if not len(asked.users):
        return np.empty(0)
    everyone = segments.everyone(asked)
    served = Recommender(dataclasses.replace(model, histories=known.histories), variant)
    lists = {variant: answers.recommend_all(served, split, asked, [everyone], k, settings.seed)}
    return results.per_segment(lists, asked, [everyone], settings.gate.metric)["all"][variant]


def _row(part: int, origin: int, found: list[Values], begin: datetime, end: datetime) -> dict[str, Any]:
    days = (end - begin).total_seconds() / SECONDS_PER_DAY / PARTS
    both = paired(found[origin], found[part], 0.025)
    kept = both.value / both.other if both.other else 1.0
    reach = both.reach / both.other if both.other else 0.0
    return {
        "part": part + 1,
        "users": len(found[part]),
        "age_days": round((part - origin) * days, 3),
        "value": round(both.value, 4),
        "kept": round(kept, 4),
        "low": round(kept - reach, 4),
        "high": round(kept + reach, 4),
    }


def _advice(rows: list[dict[str, Any]], days: float) -> dict[str, Any]:
    """How much a model keeps by its age, over the parts, and the longest age that keeps enough."""
    ages = sorted({row["age_days"] for row in rows} - {0.0})
    kept = {age: float(np.mean([row["kept"] for row in rows if row["age_days"] == age])) for age in ages}
    enough = [age for age in ages if all(kept[other] >= LEAST_KEPT for other in ages if other <= age)]
    return {
        "kept_by_age_days": {str(age): round(value, 4) for age, value in kept.items()},
        "train_every_days": max(enough, default=round(days, 3)),
        "more_often": not enough,
    }


def _stage(name: str, *options: str) -> None:
    subprocess.run([sys.executable, "-m", f"recsys.stages.{name}", *options], check=True, stdout=subprocess.DEVNULL)


def main(workspace: str = ".") -> None:
    """Train, ask, write and print."""
    origin = provenance.describe()
    os.chdir(workspace)
    found = measure()
    provenance.write(f"rolling_{params.load().dataset}", origin, found)
    print(json.dumps(found, indent=1))
    days, kept = found["train_every_days"], found["kept_by_age_days"]
    if found["more_often"]:
        print(
            f"train more often than every {days:g} days: a model of that age keeps less than {LEAST_KEPT:.0%}: {kept}"
        )
    else:
        print(f"train every {days:g} days: a model of that age keeps {LEAST_KEPT:.0%} or more: {kept}")


if __name__ == "__main__":
    main(*sys.argv[1:])
