"""ALS by Spark beside ALS by implicit: NDCG@10 on the test window, or seconds of the train stage.

    python -m benchmarks.models.als_spark WORKSPACE     where `dvc repro split` has run; als_spark_<data set>.json
    python -m benchmarks.models.als_spark 300000        the cost at so many events, in turns; als_spark_cost.json
    python -m benchmarks.models.als_spark 300000 5      in five turns

Both in the environment of docs/spark.md. Users asked: those with a history, at most `evaluate.max_users`; the interval
is that of the difference user by user. `als` has the settings of the data set in params.yaml, `als_spark` those of
SETTINGS, found on the validation window among a dozen pairs of alpha and regularization, and the others of `als`.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks import provenance
from benchmarks.models import train_overhead
from recsys import params
from recsys.contracts import Embeddings
from recsys.data import split as splits
from recsys.evaluation.intervals import paired
from recsys.evaluation.metrics import hits, ndcg
from recsys.evaluation.tuning.validation_task import ValidationTask, best_items, draw_task
from recsys.models import als, als_spark
from recsys.params.tuned import TuneParams
from recsys.ranking import Values

SETTINGS = {
    "synthetic": {"alpha": 1.0, "regularization": 1.0},
    "movielens": {"alpha": 1.0, "regularization": 0.1},
    "online_retail": {"alpha": 20.0, "regularization": 1.0},
}
ALPHA = 0.025  # of each bound: an interval of 95 %


def quality(workspace: Path, iterations: int = 15) -> None:
    """Fit both, compare them user by user, write the result."""
    origin, settings = provenance.describe(), params.load(workspace / "params.yaml", tuned=False)
    data, own = splits.load(workspace / "data/split"), settings.model("als") | {"iterations": iterations}
    asked = settings.model_copy(update={"tune": TuneParams(max_users=settings.evaluate.max_users)})
    task = draw_task(data, asked, settings.evaluate.warm_events, "test")
    training = data.training("test", settings.seed, settings.threads)
    of_spark = own | SETTINGS[settings.dataset]
    ours = _ndcg(als.fit(training, als.Config.model_validate(own)), task)
    theirs = _ndcg(als_spark.fit(training, als_spark.Config.model_validate(of_spark)), task)
    found = paired(theirs, ours, ALPHA)
    print(f"{settings.dataset}: als_spark {found}")
    low, high = found.difference - found.reach, found.difference + found.reach
    figures: dict[str, Any] = {"users": len(ours), "ndcg@10": {"als_spark": found.value, "als": found.other}}
    figures |= {
        "difference": found.difference,
        "low": low,
        "high": high,
        "settings": {"als": own, "als_spark": of_spark},
    }
    provenance.write(f"als_spark_{settings.dataset}", origin, figures)


def cost(events: int, turns: int = 3) -> None:
    """Let both train stages take turns on a made-up shop and write the medians of their seconds."""
    origin = provenance.describe()
    seconds: dict[str, list[float]] = {"als": [], "als_spark": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = train_overhead.prepare(folder, events)
        content = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        content["models"]["als_spark"] = settings.model("als") | SETTINGS["synthetic"]
        (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        for turn in range(turns):
            for model, of in seconds.items():
                of.append(
                    train_overhead.stage("train", folder, model=model, fold="test", split="split", out=f"{model}{turn}")
                )
    middle = {name: median(of) for name, of in seconds.items()}
    figures = {"events": events, "seconds": seconds, "median_s": middle, "ratio": middle["als_spark"] / middle["als"]}
    print(figures)
    provenance.write("als_spark_cost", origin, figures)


def _ndcg(model: Embeddings, task: ValidationTask) -> Values:
    """(n_users,) NDCG@10 of each user."""
    return ndcg(hits(best_items(model, task), task.targets), task.targets.lengths)


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        cost(*map(int, sys.argv[1:]))
    else:
        quality(Path(sys.argv[1]))
