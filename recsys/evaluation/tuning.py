"""Searches a model's settings on the validation window: `recsys tune als`.

A trial fits the model on the train window and ranks the whole catalogue for the warm users of the validation window, as
the main path would: the history is encoded by the model's own encoder, what was seen or cannot be had is left out. The
test window is not looked at. The search is Optuna's TPE, seeded; params.yaml is the one to beat.
Source: Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011.
"""

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl
import yaml

from recsys import extensions
from recsys.bundle.embeddings import encoder_of
from recsys.contracts import BoolArray, Embeddings, History
from recsys.data import split
from recsys.data.split import Split
from recsys.errors import DataError, ParamsError
from recsys.evaluation.metrics import Ragged, hits, ndcg
from recsys.output import write_text
from recsys.params import Params, parse
from recsys.ranking import top_k

AT = 10
USERS_AT_A_TIME = 512


@dataclass(frozen=True)
class Exam:
    """What every trial is asked: histories and targets of the same users, when they ask, and which items can be had.

    nows: a moment per user, UTC seconds; targets: item rows per user; available: (n_items,) bool.
    """

    histories: list[History]
    nows: list[float]
    targets: Ragged
    available: BoolArray
    allow_repeat: bool


def tune(model: str, split_folder: Path, params: Params, trials: int, out: Path | None = None) -> dict[str, Any]:
    """Print a line per trial on stderr and the best settings as lines for params.yaml on stdout, and return them.

    Raises:
        ParamsError: "model 'content': recsys/models/content.py has no `suggest`, the settings to search"
        DataError: "split: nobody asked in valid has evaluate.warm_events = 5 events or more: ..."
    """
    module = extensions.load("models", model)
    if not hasattr(module, "suggest"):
        raise ParamsError(f"model {model!r}: recsys/models/{model}.py has no `suggest`, the settings to search")
    data = split.load(split_folder)
    training, exam = data.training("valid", params.seed, params.threads), examine(data, params)
    current = params.model(model)

    def value(settings: dict[str, Any]) -> float:
        with contextlib.redirect_stderr(io.StringIO()):  # a line per trial, not a progress bar each
            fitted = module.fit(training, parse(module.Config, settings, f"model {model!r}"))
        return score(fitted, exam)

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("settings", {**current, **module.suggest(trial)})
        return value(trial.user_attrs["settings"])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    before = value(current)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=params.seed))
    study.optimize(objective, n_trials=trials, callbacks=[partial(_report, trials)])
    after = max(before, study.best_value)
    best: dict[str, Any] = study.best_trial.user_attrs["settings"] if after > before else current
    if out:
        tried = [{"value": trial.value, "settings": trial.user_attrs["settings"]} for trial in study.trials]
        facts = {"metric": f"ndcg@{AT}", "users": len(exam.histories), "before": before, "after": after}
        write_text(out, json.dumps({**facts, "best": best, "trials": tried}, indent=1) + "\n")
    print(f"# recsys tune {model}, {trials} trials: ndcg@{AT} on the validation window {after:.4f}, was {before:.4f}")
    print(_lines(model, best, params))
    return best


def score(model: Embeddings, exam: Exam) -> float:
    """Mean NDCG@10; a user of whom the model can say nothing counts as 0."""
    encoder = encoder_of(model)
    vectors = (encoder.encode(history, now) for history, now in zip(exam.histories, exam.nows, strict=True))
    asked = {user: vector for user, vector in enumerate(vectors) if vector is not None}
    lists = np.full((len(exam.histories), AT), -1, dtype=np.int32)
    known = list(asked)
    offered = model.rows[exam.available[model.rows]]
    column = np.full(len(exam.available), -1)
    column[offered] = np.arange(len(offered))
    items = model.vectors[offered].T
    at = min(AT, len(offered))
    for begin in range(0, len(known), USERS_AT_A_TIME):
        users = known[begin : begin + USERS_AT_A_TIME]
        scores = np.stack([asked[user] for user in users]) @ items
        for line, user in enumerate([] if exam.allow_repeat else users):
            seen = column[exam.histories[user].rows]
            scores[line, seen[seen >= 0]] = -np.inf
        lists[users, :at] = offered[top_k(scores, at)]
    return float(np.mean(ndcg(hits(lists, exam.targets), exam.targets.lengths)))


def examine(data: Split, params: Params) -> Exam:
    """The warm users of the validation window, at most `evaluate.max_users` of them."""
    targets = data.targets("valid")
    asked = targets["user_row"].unique().sort().to_numpy()
    warm = [len(history) >= params.evaluate.warm_events for history in data.histories("valid", asked)]
    asked = asked[warm]
    if not len(asked):
        raise DataError(
            f"split: nobody asked in valid has evaluate.warm_events = {params.evaluate.warm_events} events or more: "
            "give more data, or choose another split.protocol"
        )
    if len(asked) > params.evaluate.max_users:
        asked = np.sort(np.random.default_rng(params.seed).choice(asked, params.evaluate.max_users, replace=False))
    histories = data.histories("valid", asked)
    wanted = targets.filter(pl.col("user_row").is_in(pl.Series(asked).implode()))
    return Exam(
        histories=histories,
        nows=[data.query_now("valid", history) for history in histories],
        targets=Ragged.of(
            np.searchsorted(asked, wanted["user_row"].to_numpy()), wanted["item_row"].to_numpy(), len(asked)
        ),
        available=data.catalogue["available"].to_numpy(),
        allow_repeat=data.facts.allow_repeat,
    )


def _report(trials: int, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    values = f"{trial.value:.4f}, best {study.best_value:.4f}"
    print(f"trial {trial.number + 1}/{trials}: {values}, {trial.user_attrs['settings']}", file=sys.stderr, flush=True)


def _lines(model: str, best: dict[str, Any], params: Params) -> str:
    """The settings as YAML, each under the heading where params.yaml has it."""
    shared = {key: value for key, value in best.items() if key in params.models[model]}
    own = {key: value for key, value in best.items() if key not in shared}
    content = {"datasets": {params.dataset: {"models": {model: own}}}, "models": {model: shared}}
    return str(yaml.safe_dump(content, default_flow_style=None, sort_keys=False)).strip()
