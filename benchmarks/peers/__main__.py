"""Compares the release with EASE, UP-CF, VSKNN, RecTools and LensKit on the same split, scored by the same code.

    python -m benchmarks.peers WORKSPACE               where `dvc repro` has run
    python -m benchmarks.peers WORKSPACE sasrec_peers  only this one again; the others' lists are those of the last run

Writes benchmarks/results/peers_<data set>.json. Each peer has an environment of its own under build/peers, made on
first use: RecTools installs a second distribution that is imported as `implicit`. Peers are tuned on the validation
window by the grids in their files, ours has the settings of params.yaml, which were found on the same window. Users are
those of the test window with a history.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle
from recsys.data import split as splits
from recsys.evaluation import answers, fold_bundle, metrics, sample, segments
from recsys.evaluation.choices import gate, new_items
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.tuning import half_life
from recsys.rankers._learned import artifact
from recsys.recommend.recommender import Recommender

MEASURES = ("recsys/stages", "dvc.yaml", "params.yaml")
HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "peers"
ENVIRONMENTS: dict[str, list[str]] = {
    "ease": [],
    "neighbours": [],
    "rectools_peers": ["rectools==0.19.0"],
    "lenskit_peers": ["torch==2.13.0", "lenskit==2025.8.1"],
    "esasrec": [],
    "sasrec_peers": ["torch==2.13.0", "rectools[torch]==0.19.0"],
}
PEERS = [
    "ease",
    "recent_popular",
    "up_cf",
    "vsknn",
    "rectools_als",
    "rectools_item_knn",
    "rectools_sasrec",
    "esasrec",
    "lenskit_als",
    "lenskit_item_knn",
]
BASELINE = "als"
DEFAULT = "shipped default"  # the variant of the gate, with its places for new items
VARIANTS = [BASELINE, "popular", "random"]
SEGMENTS = ("warm", "few", "repeat", "known_item", "new_item")


def main(workspace: Path, scripts: list[str]) -> None:
    """Export, run the peers, score everything."""
    origin, settings = provenance.describe(), params.load(workspace / "params.yaml")
    split = splits.load(workspace / "data/split")
    folder = BUILD / settings.dataset
    folder.mkdir(parents=True, exist_ok=True)
    folds: tuple[splits.ScoredFold, ...] = ("valid", "test")
    drawn = {fold: draw(split, fold, settings) for fold in folds}
    for fold in folds:
        export(split, fold, drawn[fold], folder / f"{fold}.npz")
    for script in scripts:
        run(environment(script, ENVIRONMENTS[script]) if ENVIRONMENTS[script] else sys.executable, script, folder)
    content = compare(workspace, split, settings, drawn["test"], folder)
    provenance.write(f"peers_{settings.dataset}", origin, content)
    for name, row in content["table"].items():
        print(f"{name:20} ndcg@10 {row['ndcg@10']:.4f}  difference {row['difference']:+.4f} {row['interval']}")


def compare(
    workspace: Path, split: splits.Split, settings: params.Params, asked: sample.Sample, folder: Path
) -> dict[str, Any]:
    """Score the peers' lists and ours."""
    there = [name for name in PEERS if (folder / f"{name}.npy").is_file()]
    lists = {name: np.load(folder / f"{name}.npy") for name in there}
    lists |= own_lists(workspace, split, asked, settings)
    return {
        "users": len(asked.users),
        "als": settings.model("als"),
        "table": score(lists, asked, settings),
        "peers": {name: json.loads((folder / f"{name}.json").read_text()) for name in there},
        "note": "difference is against our als, to_default against what is released, paired, with 95 % intervals; "
        "segments: NDCG@10",
    }


def draw(split: splits.Split, fold: splits.ScoredFold, settings: params.Params) -> sample.Sample:
    """The users of a window who have a history: peers cannot recommend to the others."""
    known = split.fit_rows(fold).filter(pl.col("weight") > 0)["user_row"].unique()
    popularity = half_life.demand(split, settings.data.recent_half_life_days, fold)[1]
    everyone = sample.draw(split, fold, popularity, split.users.height, settings.seed)
    users = np.intersect1d(everyone.users, known.to_numpy())
    if len(users) > settings.evaluate.max_users:
        users = np.sort(np.random.default_rng(settings.seed).choice(users, settings.evaluate.max_users, replace=False))
    chosen = np.searchsorted(everyone.users, users)
    return replace(
        everyone,
        users=users,
        targets=of(everyone.targets, chosen),
        histories=of(everyone.histories, chosen),
        liked=everyone.liked[chosen],
        idle_days=everyone.idle_days[chosen],
    )


def of(all_rows: metrics.Ragged, chosen: Any) -> metrics.Ragged:
    """The entries of some users only, in the order of `chosen`."""
    parts = np.split(all_rows.rows, all_rows.indptr[1:-1])
    mine = [parts[position] for position in chosen]
    return metrics.Ragged(np.concatenate([[0], np.cumsum([len(part) for part in mine])]), np.concatenate(mine))


def export(split: splits.Split, fold: splits.ScoredFold, mine: sample.Sample, path: Path) -> None:
    """The fold as plain arrays, for environments that know nothing of ours."""
    events = split.fit_rows(fold).filter(pl.col("weight") > 0)
    np.savez(
        path,
        users=events["user_row"].to_numpy(),
        items=events["item_row"].to_numpy(),
        weights=events["weight"].to_numpy(),
        times=events["timestamp"].dt.epoch("s").to_numpy(),
        asked=mine.users,
        seen_starts=mine.histories.indptr,
        seen_rows=mine.histories.rows,
        target_starts=mine.targets.indptr,
        target_rows=mine.targets.rows,
        shape=np.array([split.users.height, split.catalogue.height]),
        allow_repeat=np.array(split.facts.allow_repeat),
    )


def own_lists(workspace: Path, split: splits.Split, asked: sample.Sample, settings: params.Params) -> dict[str, Any]:
    """Our variants through the main path, with their places for new items; the released one also as `DEFAULT`."""
    metrics_of, rankers = workspace / "metrics", workspace / "rankers/test"
    settings = artifact.narrowed(settings, rankers)
    settings = new_items.applied(settings, new_items.load(metrics_of / new_items.FILE))
    models, indexes = workspace / "models/test", workspace / "indexes/test"
    parts = fold_bundle.parts(split, "test", models, indexes, settings, rankers=rankers)
    folder = BUILD / settings.dataset / "bundle"
    bundle.write(parts, settings, {}, folder)
    loaded = bundle.load(folder)
    names = dict.fromkeys([*VARIANTS, *settings.candidates])
    everyone = [segments.everyone(asked)]
    lists = {
        name: answers.recommend_all(Recommender(loaded, name), split, asked, everyone, 20, settings.seed)[
            segments.PLAIN
        ]
        for name in names
    }
    decision = gate.load(metrics_of / gate.FILE)
    return lists | {DEFAULT: lists[decision.without_live or decision.variant]}


def score(lists: dict[str, Any], asked: sample.Sample, settings: params.Params) -> dict[str, Any]:
    """NDCG@10 and recall@20 of all, NDCG@10 by segment, and the paired differences to our ALS and to the default."""
    every, values = segments.build(asked, settings.evaluate), {}
    parts = [part for part in every if part.name in SEGMENTS and part.counted(asked).any()]
    for name, rows in lists.items():
        found = metrics.hits(rows, asked.targets)
        values[name] = (
            metrics.ndcg(found[:, :10], asked.targets.lengths),
            metrics.recall(found, asked.targets.lengths),
        )
    bootstrap = Bootstrap(settings.evaluate.bootstrap, settings.evaluate.confidence, settings.seed)
    table = {}
    for name, (ndcg, recall) in sorted(values.items(), key=lambda item: -item[1][0].mean()):
        value, low, high = bootstrap.interval(np.column_stack([ndcg - values[by][0] for by in (BASELINE, DEFAULT)]))
        table[name] = {
            "ndcg@10": round(float(ndcg.mean()), 5),
            "recall@20": round(float(recall.mean()), 5),
            "difference": round(float(value[0]), 5),
            "interval": [round(float(low[0]), 5), round(float(high[0]), 5)],
            "to_default": [round(float(one[1]), 5) for one in (value, low, high)],
            "segments": {
                part.name: _of_segment(lists[name], part, asked) for part in parts if part.counted(asked).any()
            },
        }
    return table


def _of_segment(rows: Any, part: segments.Segment, asked: sample.Sample) -> float:
    targets = asked.targets.keep(part.targets)
    ndcg = metrics.ndcg(metrics.hits(rows[:, :10], targets), targets.lengths)
    return round(float(ndcg[part.counted(asked)].mean()), 5)


def environment(name: str, packages: list[str]) -> str:
    """The Python of a peer's own environment."""
    folder = BUILD / f"env-{name}"
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for package in packages:
            subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
        (folder / "ready").touch()
    return str(python)


def run(python: str, script: str, folder: Path) -> None:
    """Run a peer's script on the export."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [python, str(HERE / f"{script}.py"), str(folder), str(folder)]
    subprocess.run(command, check=True, env={**os.environ, **threads})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(ENVIRONMENTS))
