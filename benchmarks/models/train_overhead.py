"""What the train stage costs beside the bare fit of implicit that is in it: benchmarks/results/train_overhead.json

    python -m benchmarks.models.train_overhead              2 million events, 5 rounds
    python -m benchmarks.models.train_overhead 200000 1     another size, and number of rounds

The stage (read the split, fit, write the model) and the bare fit (read a ready matrix, fit, write nothing) take turns,
each in a process of its own, with the same factors, iterations and threads. Two ratios: stage over bare process, and
stage over `AlternatingLeastSquares.fit` alone, to which the start of Python and all imports are added as a cost.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml
from scipy.sparse import save_npz

from benchmarks import provenance
from benchmarks.data.synthetic import shop
from recsys import params
from recsys.data import split
from recsys.models import als

MEASURES = ("recsys/stages/train.py",)
ROUNDS = 5
BARE = """
import json, sys, time
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import load_npz

matrix = load_npz(sys.argv[1])
model = AlternatingLeastSquares(**json.loads(sys.argv[2]))
begun = time.perf_counter()
model.fit(matrix)
print(time.perf_counter() - begun)
"""


def run(*arguments: str) -> tuple[float, str]:
    """Seconds that a Python process takes, and what it prints."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - begun, done.stdout


def stage(name: str, folder: Path, **options: str) -> float:
    """Seconds that a stage takes; its options name files of `folder`, except `model` and `fold`."""
    given = [f"--{key}={value if key in ('model', 'fold') else folder / value}" for key, value in options.items()]
    return run("-m", f"recsys.stages.{name}", *given, f"--params={folder / 'params.yaml'}")[0]


def prepare(folder: Path, events: int) -> params.Params:
    """Draw a shop of that many events and split it."""
    content = yaml.safe_load((provenance.TOP / params.PARAMS_FILE).read_text(encoding="utf-8"))
    content["dataset"] = "synthetic"
    content["datasets"]["synthetic"]["adapter"] = shop(events).model_dump()
    (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    stage("fetch", folder, raw="raw")
    stage("prepare", folder, raw="raw", tables="tables", report="report.json", text="report.txt")
    stage("split", folder, tables="tables", out="split")
    return params.load(folder / "params.yaml")


def main(events: int, rounds: int = ROUNDS) -> None:
    """Let both take turns and write the results."""
    origin = provenance.describe()
    seconds: dict[str, list[float]] = {"stage": [], "bare_process": [], "bare_fit": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = prepare(folder, events)
        config = als.Config.model_validate(settings.model("als"))
        training = split.load(folder / "split").training("test", settings.seed, settings.threads)
        matrix = als.confidence(training, config.half_life_days)
        save_npz(folder / "matrix.npz", matrix, compressed=False)
        options = config.model_dump(include={"factors", "iterations", "alpha", "regularization"})
        options |= {"num_threads": settings.threads, "random_state": settings.seed}
        for _ in range(rounds):
            seconds["stage"].append(stage("train", folder, model="als", fold="test", split="split", out="model"))
            process, fit = run("-c", BARE, str(folder / "matrix.npz"), json.dumps(options))
            seconds["bare_process"].append(process)
            seconds["bare_fit"].append(float(fit))
    typical = {name: round(median(rounds), 2) for name, rounds in seconds.items()}
    ratios = {name: round(typical["stage"] / typical[name], 3) for name in ("bare_process", "bare_fit")}
    figures = {"events": events, "pairs": matrix.nnz, "options": options, "seconds": seconds, "median": typical}
    provenance.write("train_overhead", origin, {**figures, "stage_over": ratios})
    print(f"{events:,} events: {typical}; stage over {ratios}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:])) if len(sys.argv) > 1 else main(2_000_000)
