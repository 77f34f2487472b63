"""Off-policy estimates on real logged data, beside those of the package that published it: Open Bandit.

The log of a uniformly random policy judges the Bernoulli Thompson sampling policy that ran beside it, whose own log
says what it really earned. obp and its data come from the package index, into an environment of their own.

Source: Saito, Aihara, Matsutani, Narita, "Open Bandit Dataset and Pipeline", NeurIPS 2021 (datasets and benchmarks).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.logged import FOLDER
from recsys.experiments.analysis import off_policy

PACKAGES = ["torch==2.13.0", "numpy<2", "pandas<2", "scikit-learn<1.5", "scipy<1.14", "seaborn<0.13"]
PACKAGES += ["pyyaml", "tqdm", "mypy_extensions"]
THEIRS = Path(__file__).with_name("obp_run.py")


def open_bandit() -> dict[str, Any]:
    """Ours and theirs, and what the judged policy really earned."""
    python, arrays = FOLDER / "obp/bin/python", FOLDER / "open_bandit.npz"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "obp"], check=True)
        for packages in (PACKAGES, ["--no-deps", "obp==0.4.1"]):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    done = subprocess.run([python, "-W", "ignore", THEIRS, arrays], check=True, capture_output=True, text=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    with np.load(arrays, allow_pickle=False) as read:
        log = off_policy.Log(
            read["reward"].astype(float),
            read["propensity"],
            read["probability"],
            np.arange(len(read["reward"])),
            read["guess"],
            read["expected"],
        )
    found: dict[str, Any] = {}
    for method in ("ips", "snips", "dr"):
        ours = off_policy.estimate(log, method)
        found[method] = {
            "ours": ours.value,
            "low": ours.low,
            "high": ours.high,
            "theirs": theirs["theirs"][method],
            "effective_rows": round(ours.effective),
        }
    return {
        "rows": len(log.reward),
        "random_policy_earned": theirs["random"],
        "judged_policy_really_earned": theirs["truth"],
        "estimates": found,
        "largest_difference": max(abs(each["ours"] - each["theirs"]) for each in found.values()),
    }
