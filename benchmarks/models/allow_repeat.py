"""Online Retail with repeat purchases: what was bought before may be recommended, and counts when it is bought again.

    python -m benchmarks.models.allow_repeat    writes benchmarks/results/allow_repeat.json

The models are trained in a clone of the last commit with `datasets.online_retail.split.allow_repeat: true` and nothing
else changed: same windows, same settings, which were tuned for first purchases. Other targets, so the figures do not
compare with those of first purchases.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import yaml

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.data import split
from recsys.evaluation import answers, fold_bundle, results, sample, segments
from recsys.evaluation.intervals import Bootstrap
from recsys.recommend.recommender import Recommender

MEASURES = ("recsys/stages", "dvc.yaml", "params.yaml")
ROOT = Path(__file__).resolve().parents[2]
DATASET, AT = "online_retail", 10
MODELS, VARIANTS = ("als", "als_long"), ("popular", "als", "als_recent")


def main() -> None:
    """Clone, switch, train, ask."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        _run(Path(folder), "git", "clone", "--quiet", str(ROOT), str(clone))
        settings = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
        settings["dataset"] = DATASET
        settings["datasets"][DATASET]["split"]["allow_repeat"] = True
        (clone / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        _run(clone, sys.executable, "-m", "dvc", "repro", *(f"index@{model}" for model in MODELS))
        table, facts = measure(clone)
    rows = table.filter(pl.col("segment").is_in(["all", "warm"]), metric=f"ndcg@{AT}").drop("metric", "baseline")
    content = {"dataset": DATASET, "window": facts.windows["test"].model_dump()}
    provenance.write("allow_repeat", origin, {**content, f"ndcg@{AT}": rows.to_dicts()})
    print(rows)


def measure(clone: Path) -> tuple[pl.DataFrame, split.Facts]:
    """The table of `recsys/evaluation/results.py` for the variants that need no other model."""
    whole, data = params.load(clone / "params.yaml"), split.load(clone / "data/split")
    kept = {"variants": {name: whole.variants[name] for name in VARIANTS}}
    settings = whole.model_copy(update={**kept, "models": {name: whole.models[name] for name in MODELS}})
    parts = fold_bundle.parts(data, "test", clone / "models/test", clone / "indexes/test", settings)
    with tempfile.TemporaryDirectory() as folder:
        bundle.write(parts, settings, {}, Path(folder) / "bundle")
        loaded = bundle.load(Path(folder) / "bundle")
        return _measured(loaded, data, settings), data.facts


def _measured(loaded: Bundle, data: split.Split, settings: params.Params) -> pl.DataFrame:
    asked = sample.draw(data, "test", loaded.catalogue.popularity, settings.evaluate.max_users, settings.seed)
    among = segments.build(asked, settings.evaluate)[:2]  # all, warm
    lists = {
        name: answers.recommend_all(Recommender(loaded, name), data, asked, among, AT, settings.seed)
        for name in VARIANTS
    }
    bootstrap = Bootstrap(settings.evaluate.bootstrap, settings.evaluate.confidence, settings.seed)
    return results.measure(lists, asked, among, [AT], ["popular"], bootstrap)


def _run(folder: Path, *command: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    subprocess.run(command, cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    main()
