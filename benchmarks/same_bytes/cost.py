"""What it costs that `recsys` selects AVX2 code on a CPU with AVX-512: benchmarks/results/same_bytes_cost.json

    python -m benchmarks.same_bytes.cost                   every stage, and an answer of the API
    python -m benchmarks.same_bytes.cost answer FOLDER     CPU milliseconds of one answer from a bundle

With and without `recsys.KERNELS` take turns, each command in a process of its own. Stages: CPU seconds on the made-up
shop of params.yaml. Answers: ten of 10,000 or 100,000 random vectors by exact search, on one thread. Also what the
first `torch.optim.Adam` of a process costs, which imports torch's compiler: see recsys/models/_content/tower.py.
"""

import json
import resource
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import provenance
from benchmarks.same_bytes.__main__ import CONTROL, HERE, output, pipeline, prepare
from recsys.bundle import bundle
from recsys.contracts import Query
from recsys.recommend.recommender import Recommender

ROUNDS, CATALOGUES = 3, (10_000, 100_000)
FIRST_ADAM = """
import time, torch
begun = time.process_time()
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
print(time.process_time() - begun)
"""
MACHINES = {"with": HERE[0], "without": CONTROL}


def main(rounds: int = ROUNDS) -> None:
    """Let both take turns and write the results."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        first = [float(output(HERE[0], Path(name), "-c", FIRST_ADAM)) for _ in range(rounds)]
        figures: dict[str, Any] = {
            "stages_cpu_s": stage_seconds(Path(name), rounds),
            "answer_cpu_ms": answer_ms(Path(name), rounds),
        }
    figures["first_adam_of_torch_cpu_s"] = round(median(first), 2)
    provenance.write("same_bytes_cost", origin, figures)
    print(json.dumps(figures, indent=1))


def stage_seconds(folder: Path, rounds: int) -> dict[str, Any]:
    """CPU seconds of all commands of each stage."""
    for kind in MACHINES:
        prepare(folder / kind, "synthetic", {})
    taken: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for stage, commands in pipeline()[0].items():
            for kind, machine in MACHINES.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                for command in commands:
                    output(machine, folder / kind, *command.split()[1:])
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                taken.setdefault(stage, {}).setdefault(kind, []).append(seconds)
    return {stage: compared(both) for stage, both in taken.items()}


def answer_ms(folder: Path, rounds: int) -> dict[str, Any]:
    """CPU milliseconds of an answer, for each size of the catalogue."""
    from benchmarks.rules import make  # sets one thread, which the stages must not inherit

    found = {}
    for n_items in CATALOGUES:
        made = folder / str(n_items)
        make(n_items, made)
        both: dict[str, list[float]] = {}
        for _ in range(rounds):
            for kind, machine in MACHINES.items():
                words = ("-m", "benchmarks.same_bytes.cost", "answer", str(made / "bundle"))
                both.setdefault(kind, []).append(float(output(machine, folder, *words)))
        found[f"{n_items} items"] = compared(both)
    return found


def answer(folder: Path) -> float:
    """Median CPU milliseconds of an answer in this process."""
    from benchmarks.rules import EVENTS, NOW, USERS, median_ms

    opened = bundle.load(folder)
    recommender, known = Recommender(opened, "als"), [opened.histories.of(f"u{at}") for at in range(USERS)]
    assert all(len(history) == EVENTS for history in known)
    return median_ms(lambda at: recommender.recommend(Query(known[at % USERS], 10, NOW.timestamp(), "u")), 1000)


def compared(both: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the rounds, and how much more it is with the kernels."""
    typical = {kind: round(median(values), 4) for kind, values in both.items()}
    return typical | {"ratio": round(typical["with"] / typical["without"], 3)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["answer"]:
        print(answer(Path(sys.argv[2])))
    else:
        main()
