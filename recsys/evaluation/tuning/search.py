"""Searches the settings of one model: a trial fits it on the train window and scores it on the validation window.

The model is scored as it is served: with the ranker of the first variant that uses only this model. The module
`pattern_search` proposes the trials; a model declares the ranges of its settings in its function `suggest`.
"""

import contextlib
import hashlib
import inspect
import io
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import optuna
import polars as pl
from optuna.trial import FixedTrial

from recsys.contracts import FloatArray, TrainingData
from recsys.data import split as splits
from recsys.data.split import ScoredFold, Split
from recsys.errors import DataError, ParamsError
from recsys.evaluation.tuning import half_life
from recsys.evaluation.tuning.pattern_search import proposals
from recsys.evaluation.tuning.validation_task import draw_task, score
from recsys.params import Params, extensions, parse
from recsys.rankers import recency

MOST_EVENTS = 600_000  # in a trial: with millions, thirty trials of each model would take hours
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the popularity of items, as candidates for `smoothing`


class Trial(NamedTuple):
    """One trial. value: NDCG@10; settings: all settings of the model."""

    value: float
    settings: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """The result of a search. settings: the best ones; after: their NDCG@10; trials: all trials. before: NDCG@10 of the
    settings before the search, None if they were incomplete."""

    settings: dict[str, Any]
    before: float | None = None
    after: float | None = None
    trials: list[Trial] = field(default_factory=list)


def search(model: str, split: Path, params: Params, trials: int, anew: bool, memory: Path | None = None) -> Result:
    """Search the settings that the model lacks; with `anew` all of them: present ones stay if no others are better.

    split: folder; trials: maximum number; memory: file of finished trials, from which a stopped search resumes.

    Raises:
        ParamsError: "model 'popular': recsys/models/popular.py has no `suggest`, so it has no settings to search; ..."
    """
    module, current = extensions.load("models", model), params.model(model)
    if not hasattr(module, "suggest"):
        if anew:
            fault = f"recsys/models/{model}.py has no `suggest`, so it has no settings to search"
            raise ParamsError(f"model {model!r}: {fault}; name only the other models in `recsys tune`")
        return Result(current)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    probe = optuna.create_study().ask()
    module.suggest(probe)  # records the ranges of the settings in `probe`
    ranges = {name: one for name, one in probe.distributions.items() if anew or name not in current}
    job = _Job(model, module, splits.load(split), params, _Memory(memory, split, params))
    before = None
    if anew:
        with contextlib.suppress(ParamsError):  # the present settings may be incomplete
            before = job.value(current)
    known, search_path = dict[str, Trial](), proposals(ranges)
    proposal: dict[str, Any] | None = next(search_path)
    while proposal is not None and len(known) < trials:
        suggested = module.suggest(FixedTrial({**probe.params, **proposal}))
        settings = {**current, **suggested} if anew else {**suggested, **current}
        key = json.dumps(settings)
        if key not in known:
            known[key] = one = Trial(job.value(settings), settings)
            highest = max(each.value for each in known.values())
            at = f"tune {model}: trial {len(known)}/{trials}: NDCG@10 {one.value:.4f}, best {highest:.4f}"
            print(f"{at}, {settings}", file=sys.stderr, flush=True)
        try:
            proposal = search_path.send(known[key].value)
        except StopIteration:
            proposal = None
    tried = list(known.values())
    after, best = max(((one.value, one.settings) for one in tried), key=lambda one: one[0])
    if before is not None and before >= after:
        after, best = before, current
    return Result(best, before, after, tried)


class _Job:
    """The data that all trials of one model share. finished: the scores of finished trials."""

    def __init__(self, model: str, module: ModuleType, data: Split, params: Params, finished: "_Memory") -> None:
        self.model, self.module, self.finished = model, module, finished
        self.task = draw_task(data, params, params.evaluate.warm_events)
        self.training = of_some_users(data.training("valid", params.seed, params.threads))
        self.factor = ranker_factor(model, data, params)

    def value(self, settings: dict[str, Any]) -> float:
        """Return the NDCG@10 of a trial; 0 if the model cannot be fitted with these settings."""
        key = json.dumps([self.model, inspect.getsource(self.module), settings], sort_keys=True)
        if (known := self.finished.get(key)) is not None:
            return known
        config = parse(self.module.Config, settings | getattr(self.module, "IN_TRIALS", {}), f"model {self.model!r}")
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # hide the progress bars
                value = score(self.module.fit(self.training, config), self.task, self.factor)
        except (DataError, ValueError) as error:
            print(f"tune {self.model}: {settings}: {error}", file=sys.stderr)
            value = 0.0
        self.finished.put(key, value)
        return value


def of_some_users(training: TrainingData) -> TrainingData:
    """Return the training data of random users, so many that they have about `MOST_EVENTS` events."""
    events = training.interactions
    if events.height <= MOST_EVENTS:
        return training
    drawn = np.random.default_rng(training.seed).random(training.n_users) < MOST_EVENTS / events.height
    return replace(training, events=events.filter(pl.Series(drawn[events["user_row"].to_numpy()])).lazy())


def ranker_factor(model: str, data: Split, params: Params, fold: ScoredFold = "valid") -> FloatArray | None:
    """Return the (n_items,) factors by which the ranker `recency` multiplies scores, with its settings in the first
    variant whose only source is this model; None if that variant has another ranker or there is no such variant."""
    alone = [variant for variant in params.variants.values() if variant.models == [model] and len(variant.sources) == 1]
    ranker = alone[0].ranker if alone else None
    if ranker is None or ranker.name != "recency":
        return None
    recent, popularity = half_life.demand(data, params.data.recent_half_life_days, fold)
    typed = parse(recency.Config, ranker.config, "ranker 'recency'").smoothing, params.data.smoothing
    usual = np.median(popularity[popularity > 0])  # while `smoothing` is not set yet
    factor: FloatArray = recent / (popularity + np.float32(next((one for one in typed if one is not None), usual)))
    return factor


def find_smoothing(split: Path, params: Params) -> float:
    """Return the `smoothing` with which the ranker `recency` scores best: a quantile of the items' popularity. The
    settings of the models must be complete. Without a variant of one model and this ranker it is the median."""
    data = splits.load(split)
    _, popularity = half_life.demand(data, params.data.recent_half_life_days)
    liked = popularity[popularity > 0] if popularity.any() else np.ones(1)
    choices: list[float] = np.quantile(liked, QUANTILES).round().tolist()
    model = next((name for name in params.models if ranker_factor(name, data, params) is not None), None)
    if model is None:
        return choices[len(choices) // 2]
    module, values = extensions.load("models", model), dict[float, float]()
    config = parse(module.Config, params.model(model) | getattr(module, "IN_TRIALS", {}), f"model {model!r}")
    fitted = module.fit(data.training("valid", params.seed, params.threads), config)
    task = draw_task(data, params, params.evaluate.warm_events)
    for smoothing in choices:
        values[smoothing] = score(fitted, task, ranker_factor(model, data, params.with_data(smoothing=smoothing)))
        print(f"tune smoothing: {smoothing:g}, NDCG@10 {values[smoothing]:.4f}", file=sys.stderr, flush=True)
    return max(values, key=lambda smoothing: values[smoothing])


class _Memory:
    """The scores of finished trials, in a file with a line per trial: hash of data, task and settings, and score."""

    def __init__(self, path: Path | None, split: Path, params: Params) -> None:
        with (split / "interactions.parquet").open("rb") as file:
            data = hashlib.file_digest(file, "sha256").hexdigest()
        question = (params.seed, params.tune.max_users, params.evaluate.warm_events, params.data.recent_half_life_days)
        self._path, self._about = path, f"{data} {question} {params.variants}"
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        self._values = dict(json.loads(line) for line in lines if line.endswith("]"))  # the last line may be incomplete

    def get(self, key: str) -> float | None:
        return self._values.get(self._hash(key))

    def put(self, key: str, value: float) -> None:
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([self._hash(key), value]) + "\n")

    def _hash(self, key: str) -> str:
        return hashlib.sha256((self._about + key).encode()).hexdigest()
