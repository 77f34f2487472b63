"""Mutants that tests once did not notice, by name: a text of a file, its replacement, and the tests that must fail.

    python -m benchmarks.mutation.named                     # all of them, in a copy of the repository
    python -m benchmarks.mutation.named "bots kept"         # some

Prints one line a mutant and ends with 1 where one survived.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
COPIED = ("recsys", "serving", "tests", "benchmarks", "pyproject.toml", "params.yaml", "experiments.yaml", "rules.yaml")
ANALYSIS, ONLINE = "recsys/experiments/analysis", "recsys/experiments/online"
KNOWN = "tests/experiments/analysis/test_known_values.py"
LOGS = "tests/experiments/analysis/test_unusable_logs.py"
BUCKETS = "tests/experiments/online/test_assignment.py"


@dataclass(frozen=True)
class Mutant:
    """old stands once in file; tests: the files or folders that must fail with new in its place."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


NAMED = (
    Mutant(
        "off-policy with the mean propensity",
        f"{ANALYSIS}/off_policy.py",
        "return self.probability / self.propensity",
        "return self.probability / self.propensity.mean()",
        (KNOWN,),
    ),
    Mutant(
        "SNIPS without normalisation",
        f"{ANALYSIS}/off_policy.py",
        "(weights * log.reward).sum() / weights.sum()",
        "(weights * log.reward).mean()",
        (KNOWN,),
    ),
    Mutant(
        "rows not clustered",
        f"{ANALYSIS}/off_policy.py",
        "np.unique(unit, return_inverse=True)[1]",
        "np.arange(len(unit))",
        (KNOWN,),
    ),
    Mutant(
        "CUPED off in the tests",
        f"{ANALYSIS}/effects.py",
        'before = "events_before" if with_history else None',
        "before = None",
        (KNOWN,),
    ),
    Mutant(
        "CUPED off in the readout",
        f"{ANALYSIS}/run.py",
        'outcomes.filter(pl.col("how").is_in(join.JOINED)), cleaned.before)',
        'outcomes.filter(pl.col("how").is_in(join.JOINED)), cleaned.before.clear())',
        (KNOWN,),
    ),
    Mutant(
        "alpha ignored in intervals",
        f"{ANALYSIS}/effects.py",
        "confidence_level=1 - experiment.alpha",
        "confidence_level=0.95",
        (KNOWN,),
    ),
    Mutant(
        "alpha ignored in anytime intervals",
        f"{ANALYSIS}/effects.py",
        "half = sequential.radius(error, n, alpha, planned)",
        "half = sequential.radius(error, n, 0.05, planned)",
        (KNOWN,),
    ),
    Mutant(
        "alpha ignored in anytime p-values",
        f"{ANALYSIS}/effects.py",
        "p_anytime=sequential.p_value(difference, error, n, alpha, planned)",
        "p_anytime=sequential.p_value(difference, error, n, 0.05, planned)",
        (KNOWN,),
    ),
    Mutant(
        "alpha ignored in the bootstrap",
        f"{ANALYSIS}/effects.py",
        "tails = [100 * experiment.alpha / 2, 100 * (1 - experiment.alpha / 2)]",
        "tails = [2.5, 97.5]",
        (KNOWN,),
    ),
    Mutant(
        "alpha ignored off-policy",
        f"{ANALYSIS}/off_policy.py",
        "norm.ppf(1 - alpha / 2)",
        "norm.ppf(1 - 0.05 / 2)",
        (KNOWN,),
    ),
    Mutant(
        "p_anytime is the fixed p",
        f"{ANALYSIS}/effects.py",
        "p_anytime=sequential.p_value(difference, error, n, alpha, planned)",
        "p_anytime=float(got.pvalue)",
        (KNOWN,),
    ),
    Mutant(
        "radius tuned at n",
        f"{ANALYSIS}/sequential.py",
        "spread = n * tuning(alpha, planned)\n    return standard_error",
        "spread = n * tuning(alpha, n)\n    return standard_error",
        (KNOWN,),
    ),
    Mutant(
        "p-value tuned at n",
        f"{ANALYSIS}/sequential.py",
        "spread = n * tuning(alpha, planned)\n    z =",
        "spread = n * tuning(alpha, n)\n    z =",
        (KNOWN,),
    ),
    Mutant(
        "sqrt(spread) in the radius",
        f"{ANALYSIS}/sequential.py",
        "log(sqrt(spread + 1) / alpha)",
        "log(sqrt(spread) / alpha)",
        (KNOWN,),
    ),
    Mutant(
        "sqrt(spread) in the p-value",
        f"{ANALYSIS}/sequential.py",
        "sqrt(spread + 1) * exp",
        "sqrt(spread) * exp",
        (KNOWN,),
    ),
    Mutant(
        "join window ignored with a request_id",
        f"{ANALYSIS}/join.py",
        'in_time = pl.col("moment") <= pl.col("shown_at") + rule.window',
        "in_time = pl.lit(True)",
        (KNOWN,),
    ),
    Mutant(
        "join window ignored without a request_id",
        f"{ANALYSIS}/join.py",
        "            tolerance=rule.window,\n",
        "",
        (KNOWN,),
    ),
    Mutant(
        "join window not that of the experiment",
        f"{ANALYSIS}/join.py",
        "cls(experiment.attribution_hours, experiment.clock_skew_seconds)",
        "cls(24, experiment.clock_skew_seconds)",
        (KNOWN,),
    ),
    Mutant(
        "bots kept",
        f"{ANALYSIS}/population.py",
        "people, machines = without_bots(rest)",
        "people, machines = rest, {}",
        (LOGS,),
    ),
    Mutant(
        "namespace by another hash",
        f"{ONLINE}/assignment.py",
        "space.start <= place(space.layer, unit) < space.end",
        "space.start <= bucket(space.layer, unit) < space.end",
        (BUCKETS,),
    ),
    Mutant(
        "seed ignored",
        f"{ONLINE}/assignment.py",
        "arm_of(experiment, bucket(experiment.seed or name, unit))",
        "arm_of(experiment, bucket(name, unit))",
        (BUCKETS,),
    ),
    Mutant(
        "another probability than the weight",
        f"{ONLINE}/assignment.py",
        "1.0 if forced else experiment.arms[arm].weight",
        "1.0 if forced else 0.5",
        (BUCKETS,),
    ),
)


def main(names: list[str]) -> int:
    """Try each of those names, or all."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = TOP / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        chosen = [mutant for mutant in NAMED if not names or mutant.name in names]
        if fails(copy, tuple(dict.fromkeys(path for mutant in chosen for path in mutant.tests))):
            raise RuntimeError("the tests fail without any mutant: repair them first")
        for mutant in chosen:
            killed = kills(mutant, copy)
            survived += not killed
            print(f"{'killed  ' if killed else 'SURVIVED'} {mutant.name}", flush=True)
    return 1 if survived else 0


def kills(mutant: Mutant, copy: Path) -> bool:
    """Whether the mutant's tests fail with it."""
    path = copy / mutant.file
    before = path.read_text()
    path.write_text(before.replace(mutant.old, mutant.new))
    try:
        return fails(copy, mutant.tests)
    finally:
        path.write_text(before)


def fails(copy: Path, tests: tuple[str, ...]) -> bool:
    """Whether a test fails in the copy; anything else than a test that goes wrong is an error."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise RuntimeError(f"the tests did not run: {' '.join(command)}\n{done.stdout[-2000:]}")
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
