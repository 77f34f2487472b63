"""Finds the settings that params.yaml leaves open for the active data set, in order; see `recsys.evaluation.tuning`."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from recsys.data import split as splits
from recsys.evaluation.tuning import half_life
from recsys.evaluation.tuning.search import Result, find_smoothing, search
from recsys.output import write_text
from recsys.params import Params
from recsys.params.tuned import Tuned


def fill(split: Path, params: Params, memory: Path) -> Tuned:
    """Return all settings of the active data set: those in params.yaml, and searched ones for the others. split:
    folder; params: must be loaded without tuned settings; memory: file of finished trials, for resuming."""
    found = params.data.typed_half_life_days or half_life.find(splits.load(split), params)
    params = params.with_data(typed_half_life_days=found)
    models = {
        model: params.model(model)
        if model in params.data.models
        else in_own_process(search, model, split, params, params.tune.trials, False, memory).settings
        for model in params.models
    }
    memory.unlink(missing_ok=True)
    smoothing, repeat = params.data.smoothing, params.data.repeat_half_life_days
    if smoothing is None:
        smoothing = in_own_process(find_smoothing, split, params.with_data(models=models))
    return Tuned(
        dataset=params.dataset,
        recent_half_life_days=found,
        smoothing=smoothing,
        repeat_half_life_days=repeat or half_life.of_repeats(splits.load(split), params),
        models=models,
        variants=dict(params.data.variants),
    )


def search_anew(
    names: list[str], split: Path, params: Params, trials: int, memory: Path, out: Path | None = None
) -> dict[str, Result]:
    """Search all settings of these models, or of all models and popularity if `names` is empty; print the lines for
    params.yaml. memory: file of finished trials, for resuming; out: JSON file to write with the trials of each model.
    """
    own: dict[str, Any] = {}
    if not names:
        own["recent_half_life_days"] = half_life.find(splits.load(split), params)
        params = params.with_data(typed_half_life_days=own["recent_half_life_days"])
    results = {
        model: in_own_process(search, model, split, params, trials, True, memory) for model in names or params.models
    }
    memory.unlink(missing_ok=True)
    shared: dict[str, dict[str, Any]] = {model: {} for model in results}
    own["models"] = {model: {} for model in results}
    for model, found in results.items():
        before = "not complete" if found.before is None else f"{found.before:.4f}"
        print(f"# {model}, {trials} trials: NDCG@10 on the validation window {found.after:.4f}, was {before}")
        for key, value in found.settings.items():
            (shared if key in params.models[model] else own["models"])[model][key] = value
    content = {"datasets": {params.dataset: own}, "models": shared}
    print(str(yaml.safe_dump(content, default_flow_style=None, sort_keys=False)).strip())
    if out:
        write_text(out, json.dumps({model: asdict(found) for model, found in results.items()}, indent=1) + "\n")
    return results


def in_own_process(task: Callable[..., Any], *arguments: Any) -> Any:
    """Call `task` in a separate process: torch, implicit and faiss must not share one, as each has its own OpenMP."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()
