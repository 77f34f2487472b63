"""Measures the gain and the cost of calibration, and the cost of reasons, where `dvc repro` has run.

    python -m benchmarks.models.calibration WORKSPACE...    writes benchmarks/results/calibration_<data set>.json

"before" takes the raw scores of a variant for probabilities, scaled from 0 to 1 over all its slots of the test window;
"constant" is, for every slot, the share of relevant slots in the validation window.
"""

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle, calibration
from recsys.bundle.bundle import Bundle
from recsys.contracts import Query
from recsys.data import split
from recsys.evaluation import fit_calibration, fold_bundle, reliability, sample
from recsys.recommend import explanations
from recsys.recommend.recommender import Recommender

MEASURES = ("recsys/stages", "dvc.yaml", "params.yaml")
K = 10


def main(workspace: Path, answers: int = 300) -> None:
    """Ask the test window again, compare, time."""
    settings, data = params.load(workspace / "params.yaml"), split.load(workspace / "data/split")
    origin, measured = provenance.describe(), workspace / "metrics" / calibration.FILE
    rankers = workspace / "rankers/test" if settings.rankers else None
    with tempfile.TemporaryDirectory() as folder:
        models, indexes = workspace / "models/test", workspace / "indexes/test"
        parts = fold_bundle.parts(data, "test", models, indexes, settings, measured, rankers)
        bundle.write(parts, settings, {}, Path(folder) / "bundle")
        loaded = bundle.load(Path(folder) / "bundle")
        asked = sample.draw(data, "test", loaded.catalogue.popularity, settings.evaluate.max_users, settings.seed)
        content = {
            "users": len(asked.users),
            "horizon_days": fit_calibration.horizon_days(data),
            "variants": {name: worth(loaded, data, asked, settings, name) for name in calibrated(loaded)},
            "cost": cost(loaded, asked, answers),
        }
    provenance.write(f"calibration_{settings.dataset}", origin, content)
    print(json.dumps({key: content[key] for key in ("variants", "cost")}, indent=1))


def calibrated(loaded: Bundle) -> list[str]:
    """The variants with curves: not those that go by live counts."""
    assert loaded.calibration
    return [name for name, curves in loaded.calibration.curves.items() if curves]


def worth(loaded: Bundle, data: split.Split, asked: sample.Sample, settings: params.Params, name: str) -> Any:
    """ECE and Brier score of raw scores, of one number for all, and of confidences."""
    assert loaded.calibration
    wanted = fit_calibration.as_long_as_valid(data, asked, settings.data.split)
    slots = fit_calibration.ask(
        Recommender(loaded, name), data, asked, wanted, max(settings.evaluate.at), settings.seed
    )
    curves, hit = loaded.calibration.curves[name].values(), slots["wanted"].to_numpy()
    raw = slots["score"].to_numpy()
    constant = sum(curve.wanted for curve in curves) / sum(curve.slots for curve in curves)
    return {
        "before": reliability.figures((raw - raw.min()) / max(np.ptp(raw), 1e-12), hit),
        "constant": reliability.figures(np.full(len(hit), constant), hit),
        "after": reliability.figures(fit_calibration.confidences(loaded.calibration, name, slots), hit),
    }


def cost(loaded: Bundle, asked: sample.Sample, answers: int) -> dict[str, float]:
    """Microseconds of the default variant, over the same users, lists of 10."""
    assert loaded.calibration
    recommender, now = Recommender(loaded), loaded.manifest.trained_until.timestamp()
    queries = [Query(loaded.histories.at(user), K, now) for user in asked.users[:answers].tolist()]
    spent = {}
    start = perf_counter()
    lists = [recommender.recommend(query) for query in queries]
    spent["answer"] = perf_counter() - start
    start = perf_counter()
    for query, slate in zip(queries, lists, strict=True):
        loaded.calibration.of(recommender.variant, slate.slots, 1, len(query.history))
    spent["confidence_of_an_answer"] = perf_counter() - start
    start = perf_counter()
    for slate in lists:
        explanations.explain({recommender.variant: recommender}, slate)
    spent["reasons_of_an_answer"] = perf_counter() - start
    return {f"{name}_us": round(seconds / len(queries) * 1e6, 1) for name, seconds in spent.items()}


if __name__ == "__main__":
    for given in sys.argv[1:]:
        main(Path(given))
