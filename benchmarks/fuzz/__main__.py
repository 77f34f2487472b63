"""Does any input make the filter grammar, the cursors, the YAML loader or the bundle loader crash or hang?

    pip install atheris
    python -m benchmarks.fuzz [TARGET ...] [--seconds 600] [--bundle bundle]    writes benchmarks/results/fuzz.json

Atheris (libFuzzer) makes inputs by the coverage that they reach. A crash is an exception that the target does not
declare, a signal, more than 10 s for one input, or 2 GB of memory. An input that crashed is in the result, in hex.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.fuzz.targets import BUNDLE, SEEDS, TARGETS

LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-max_len=4096")


def main(names: list[str], seconds: int = 600, folder: Path = Path("bundle"), seed: int = 1) -> dict[str, Any]:
    """Fuzz one target after the other, and write what was found."""
    origin, found = provenance.describe(), {}
    for name in names:
        found[name] = fuzz(name, seconds, folder, seed)
        print(name, json.dumps(found[name]), flush=True)
    provenance.write("fuzz", origin, {"seconds": seconds, "seed": seed, "targets": found})
    return found


def fuzz(name: str, seconds: int, folder: Path, seed: int) -> dict[str, Any]:
    """Return how many inputs were tried, what they reached, and what crashed."""
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place, "corpus")
        corpus.mkdir()
        for number, text in enumerate(SEEDS[name]):
            (corpus / str(number)).write_bytes(text)
        options = [*LIMITS, f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={place}/", str(corpus)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fuzz.one", name, *options],
            env={**os.environ, BUNDLE: str(folder.absolute()), "TMPDIR": place},
            cwd=provenance.TOP,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        crashes = [path.read_bytes().hex() for path in sorted(Path(place).glob("*-*")) if path.is_file()]
    inputs = re.findall(r"number_of_executed_units: (\d+)", done.stderr)
    reached = re.findall(r"cov: (\d+)", done.stderr)
    found = {"inputs": int(inputs[-1]) if inputs else 0, "branches": int(reached[-1]) if reached else 0}
    if done.returncode:
        return {**found, "crashes": crashes, "said": done.stdout[-1500:] + done.stderr[-1500:]}
    return {**found, "crashes": crashes}


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("targets", nargs="*", help=", ".join(TARGETS))
    options.add_argument("--seconds", type=int, default=600)
    options.add_argument("--bundle", type=Path, default=Path("bundle"))
    chosen = options.parse_args()
    main(chosen.targets or list(TARGETS), chosen.seconds, chosen.bundle)
