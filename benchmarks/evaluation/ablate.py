"""Measures on your own data what is lost without each model, and with a release that is only 70 % as good.

    python -m benchmarks.evaluation.ablate [WORKSPACE]    where `dvc repro` has run; prints a table

Without a model, its vectors are removed from the bundle, also for choosing new items, and the best variant that does
not use it answers. Both answer the same queries in the test window; differences are per user, with 95 % bounds. A
release that is 70 % as good keeps each item with a probability of 0.7 and else shows a random one.
"""

import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle
from recsys.data import split as splits
from recsys.evaluation import answers, fold_bundle, results, sample, segments
from recsys.evaluation.choices import gate, new_items
from recsys.evaluation.intervals import paired
from recsys.params import Params
from recsys.ranking import Values
from recsys.recommend.recommender import Recommender

SEGMENTS = ("all", "new_user_1", "new_user_3", "new_item")
GOOD = (0.9, 0.7, 0.5)
PerSegment = dict[str, Values]


class Workspace:
    """A finished run of the pipeline in the working directory, asked again with fewer models."""

    def __init__(self) -> None:
        self.settings = new_items.applied(params.load(), new_items.load(Path("metrics/new_items.json")))
        self.released = gate.load(Path("metrics/gate.json")).variant
        self.table = results.read(Path("metrics/intervals.csv")).filter(
            segment=self.settings.gate.segment, metric=self.settings.gate.metric, baseline=self.settings.gate.baseline
        )
        self.data = splits.load(Path("data/split"))

    def ask(self, variant: str, without: str | None = None) -> PerSegment:
        """NDCG of each user of the segments, from a bundle that lacks a model."""
        kept = {name: given for name, given in self.settings.models.items() if name != without}
        settings: Params = self.settings.model_copy(update={"models": kept})
        with tempfile.TemporaryDirectory() as folder:
            parts = fold_bundle.parts(
                self.data, "test", Path("models/test"), Path("indexes/test"), settings, rankers=Path("rankers/test")
            )
            bundle.write(dataclasses.replace(parts), settings, {}, Path(folder) / "bundle")
            loaded = bundle.load(Path(folder) / "bundle")
            seed, most = settings.seed, settings.evaluate.max_users
            asked = sample.draw(self.data, "test", loaded.catalogue.popularity, most, seed)
            chosen = [part for part in segments.build(asked, settings.evaluate) if part.name in SEGMENTS]
            k = int(settings.gate.metric.partition("@")[2])
            lists = {variant: answers.recommend_all(Recommender(loaded, variant), self.data, asked, chosen, k, seed)}
            values = results.per_segment(lists, asked, chosen, settings.gate.metric)
        return {name: found[variant] for name, found in values.items()}

    def best_without(self, model: str) -> str:
        """The release if it does not ask the model, else the best candidate of the test window that does not."""
        asks = {name: self.settings.variants[name].models for name in [*self.settings.candidates, self.released]}
        if model not in asks[self.released]:
            return self.released
        able = [name for name, models in asks.items() if model not in models]
        rows = self.table.filter(self.table["variant"].is_in(able)).sort("value", descending=True, maintain_order=True)
        return str(rows["variant"][0])


def measure() -> dict[str, Any]:
    """Without each model, and made worse: the variant, and by segment its value, the share lost and its bounds."""
    workspace = Workspace()
    whole, by_chance = workspace.ask(workspace.released), workspace.ask("random")
    found: dict[str, Any] = {"released": workspace.released, "metric": workspace.settings.gate.metric, "without": {}}
    for model in workspace.settings.models:
        variant = workspace.best_without(model)
        size = sum(path.stat().st_size for path in (Path("models/test") / model).rglob("*") if path.is_file())
        rows = _compare(workspace.ask(variant, without=model), whole)
        found["without"][model] = {"served": variant, "model_mb": round(size / 1e6, 2), "segments": rows}
    for good in GOOD:
        worse = {name: good * values + (1 - good) * by_chance[name] for name, values in whole.items()}
        found.setdefault("as_good", {})[str(good)] = {"segments": _compare(worse, whole)}
    return found


def _compare(values: PerSegment, whole: PerSegment) -> dict[str, dict[str, float]]:
    rows = {}
    for name, before in whole.items():
        both = paired(values[name], before, 0.025)
        base = both.other or np.nan
        rows[name] = {
            "value": round(both.value, 4),
            "change": round(both.difference / base, 4),
            "low": round((both.difference - both.reach) / base, 4),
            "high": round((both.difference + both.reach) / base, 4),
        }
    return rows


def table(found: dict[str, Any]) -> str:
    """The figures as text: one line a model that is left out, one line a release that is made worse."""
    lines = [f"{found['metric']} of {found['released']}, the release; change and its bounds"]
    named = {f"without {model}: {row['served']}": row for model, row in found["without"].items()}
    named |= {f"{float(good):.0%} as good": row for good, row in found["as_good"].items()}
    for name, row in named.items():
        cells = [
            f"{segment} {cell['value']:.4f} {cell['change']:+.1%} [{cell['low']:+.1%}, {cell['high']:+.1%}]"
            for segment, cell in row["segments"].items()
        ]
        lines.append(f"{name:<32} {'   '.join(cells)}")
    return "\n".join(lines)


def main(workspace: str = ".") -> None:
    """Ask, write and print."""
    origin = provenance.describe()
    os.chdir(workspace)
    found = measure()
    provenance.write(f"ablate_{params.load().dataset}", origin, found)
    print(table(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
