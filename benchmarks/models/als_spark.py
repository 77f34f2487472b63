"""ALS by Spark beside ALS by implicit: NDCG@10 on the test window, or CPU seconds of the train stage.

    python -m benchmarks.models.als_spark WORKSPACE         where `dvc repro split` has run: als_spark_<data set>.json
    python -m benchmarks.models.als_spark 300000 2000000    the cost at so many events: als_spark_cost_<events>.json

Both in the environment of docs/spark.md. Users asked: those with a history, at most `evaluate.max_users`; the interval
is that of the difference user by user. `als` has the settings of the data set in params.yaml, `als_spark` those of
SETTINGS, found on the validation window among a dozen pairs of alpha and regularization, and the others of `als`.

The cost is that of a whole stage of a made-up shop, Java included: CPU seconds, which depend less than times on what
else runs. Both take turns, from 10 million events on one turn. A stage is stopped after LIMIT_S. Linux only.
"""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
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
TURNS, MANY, LIMIT_S = 3, 10_000_000, 3600
DRIVER_MEMORY = "8g"  # of Spark on one machine; by default 1g
PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h
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


def cost(events: int) -> None:
    """Let both train stages take turns on a shop of that size and write the results."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        found = _cost(Path(name), events, 1 if events >= MANY else TURNS)
    print(f"{events:,} events: {found}", flush=True)
    provenance.write(
        f"als_spark_cost_{events}", origin, {"events": events, "driver_memory": DRIVER_MEMORY, "models": found}
    )


def _cost(folder: Path, events: int, turns: int) -> dict[str, Any]:
    """Of each model: CPU seconds of every turn, their median, and the peak memory of the stage without Java in GiB."""
    settings = train_overhead.prepare(folder, events)
    content = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    content["models"]["als_spark"] = settings.model("als") | SETTINGS["synthetic"]
    (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    found: dict[str, Any] = {model: {"cpu_seconds": [], "peak_gib": 0.0} for model in ("als", "als_spark")}
    for turn in range(turns):
        for model, one in found.items():
            paths = f"--split={folder / 'split'}", "--fold=test", f"--out={folder / f'{model}{turn}'}"
            used = _used("recsys.stages.train", f"--model={model}", *paths, f"--params={folder / 'params.yaml'}")
            if used["stopped"]:
                one["stopped"] = used
                return found
            one["cpu_seconds"].append(used["cpu_seconds"])
            one |= {"median": median(one["cpu_seconds"]), "peak_gib": max(one["peak_gib"], used["peak_gib"])}
    return found


def _used(module: str, *arguments: str) -> dict[str, float]:
    """Time, CPU seconds of a module and of all that it starts, peak memory of its own process; whether it was stopped.

    Java outlives the Python that started it: as their "subreaper" this process inherits such children, and waits.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    submit = f"--driver-memory {DRIVER_MEMORY} pyspark-shell"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYSPARK_SUBMIT_ARGS": submit}
    command = ["timeout", "--signal=KILL", str(LIMIT_S), sys.executable, "-m", module, *arguments]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, own = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    stopped = process.returncode in (-9, 128 + 9)  # `timeout` stops its whole group, which it is in
    if process.returncode and not stopped:
        raise SystemExit(f"{module} failed: {command}")
    try:
        while True:
            os.wait()
    except ChildProcessError:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "stopped": stopped,
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(cpu, 2),
        "peak_gib": round(own.ru_maxrss / 2**20, 3),
    }


def _ndcg(model: Embeddings, task: ValidationTask) -> Values:
    """(n_users,) NDCG@10 of each user."""
    return ndcg(hits(best_items(model, task), task.targets), task.targets.lengths)


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        for size in sys.argv[1:]:
            cost(int(size))
    else:
        quality(Path(sys.argv[1]))
