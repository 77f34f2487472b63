"""Compares settings that the stage `tune` finds with settings set by hand, on the test window, and measures the cost.

    python -m benchmarks.models.found_settings WORKSPACE       where `dvc repro split` has run; writes
                                                               benchmarks/results/found_settings_<data set>.json
    python -m benchmarks.models.found_settings WORKSPACE 3     with 3 trials a model instead of `tune.trials`

Set by hand are the settings of the data set in params.yaml or, where it has none, those of the synthetic shop, as in a
copied section. Every model is fitted on all that came before the test window and scored for the users asked there who
have a history, under the ranker of its variant; popularity, for everybody.
"""

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

from benchmarks import provenance
from recsys import params
from recsys.data import split as splits
from recsys.evaluation.tuning import half_life, portfolio
from recsys.evaluation.tuning.search import ranker_factor
from recsys.evaluation.tuning.validation_task import draw_task, score, score_order
from recsys.params import extensions
from recsys.params.tuned import TuneParams

SMOOTHING = 20.0  # of the ranker `recency`, typed until `tune` found it


def main(workspace: Path, trials: int | None = None) -> None:
    """Search, score both, print a table, write the results."""
    origin, settings = provenance.describe(), params.load(workspace / "params.yaml", tuned=False)
    asked = {"trials": trials or settings.tune.trials, "max_users": settings.tune.max_users}
    settings = settings.model_copy(update={"tune": TuneParams(**asked)})
    copied = settings.datasets["synthetic"]
    typed = settings.with_data(
        typed_half_life_days=settings.data.typed_half_life_days or copied.recent_half_life_days,
        models=settings.data.models or copied.models,
        smoothing=SMOOTHING,
    )
    with tempfile.TemporaryDirectory() as folder:
        begin, cpu = time.perf_counter(), _cpu_seconds()
        nothing_typed = settings.with_data(typed_half_life_days=None, models={})
        found = portfolio.fill(workspace / "data/split", nothing_typed, Path(folder) / "trials")
        cost = {"cpu_s": round(_cpu_seconds() - cpu, 1), "wall_s": round(time.perf_counter() - begin, 1)}
    tuned = settings.with_data(
        typed_half_life_days=found.recent_half_life_days, models=found.models, smoothing=found.smoothing
    )
    values: dict[str, dict[str, float]] = {}
    for name in ("popular", *settings.models):
        by_hand, by_search = (_in_own_process(name, workspace / "data/split", one) for one in (typed, tuned))
        values[name] = {"typed": by_hand, "found": by_search}
        print(f"{name}: NDCG@10 typed {by_hand:.4f}, found {by_search:.4f}", flush=True)
    best = {which: max(of[which] for of in values.values()) for which in ("typed", "found")}
    figures: dict[str, Any] = {"ndcg@10": values, "best": {**best, "ratio": best["found"] / best["typed"]}}
    figures |= {"tuning": {**asked, **cost}, "found": found.model_dump(), "copied": not settings.data.models}
    print(f"best: {figures['best']}, tuning: {figures['tuning']}")
    provenance.write(f"found_settings_{settings.dataset}", origin, figures)


def value(name: str, split: Path, settings: params.Params) -> float:
    """NDCG@10 on the test window of a model, or of `popular`."""
    data = splits.load(split)
    everybody = settings.model_copy(update={"tune": TuneParams(max_users=settings.evaluate.max_users)})
    if name == "popular":
        recent = half_life.demand(data, settings.data.recent_half_life_days, "test")[0]
        return score_order(half_life.order(recent), draw_task(data, everybody, 0, "test"))
    module = extensions.load("models", name)
    config = params.parse(module.Config, settings.model(name), name)
    model = module.fit(data.training("test", settings.seed, settings.threads), config)
    task = draw_task(data, everybody, settings.evaluate.warm_events, "test")
    return score(model, task, ranker_factor(name, data, settings, "test"))


def _in_own_process(*arguments: Any) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(value, *arguments).result()


def _cpu_seconds() -> float:
    return sum(use.ru_utime + use.ru_stime for use in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
