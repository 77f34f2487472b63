"""Thousands of generated requests against a real server: does every answer keep to the OpenAPI document, without a 5xx?

    python -m benchmarks.serving.conformance [--examples 970] [--seeds 1 2]
    writes benchmarks/results/serving_conformance.json

schemathesis, all checks, all phases. A test runs a few cases of the same (tests/serving/api/test_contract.py).
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import prepared
from benchmarks.serving.server import running
from serving import api_keys
from serving.api_keys import Scope

TOP = Path(__file__).parents[2]
EXAMPLES = 970  # more than 20,000 cases
PATIENT = {"RECSYS_DEADLINE_MS": "60000", "RECSYS_STORE_MS": "60000", "RECSYS_RATE_LIMIT": "0"}


def main(examples: int = EXAMPLES, seeds: Sequence[int] = (1, 2), *more: str) -> None:
    """Run with so many examples of each operation in each phase, and more options of schemathesis, all seeds at once;
    write."""
    origin = provenance.describe()
    with ThreadPoolExecutor() as pool:
        found = dict(zip(map(str, seeds), pool.map(lambda seed: run(examples, seed, *more), seeds), strict=True))
    provenance.write("serving_conformance", origin, {"seeds": found})
    print(json.dumps(found, indent=1))


def run(examples: int, seed: int, *more: str) -> dict[str, Any]:
    """Hold a new server with an empty store against its own document."""
    key, line = api_keys.new("conformance", Scope)
    with tempfile.TemporaryDirectory() as name:
        environment = {"RECSYS_RELEASES": str(shop.releases()), **prepared(Path(name)), **PATIENT}
        with running("serving", Path(name), 1, **environment, RECSYS_API_KEYS=line) as server:
            command = ["schemathesis", "run", f"http://127.0.0.1:{server.port}/openapi.json", "--checks", "all"]
            command += ["--max-examples", str(examples), "--seed", str(seed), "--no-color", *more]
            done = subprocess.run(
                [*command, "--header", f"Authorization: Bearer {key}"],
                env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(TOP)},
                cwd=name,
                capture_output=True,
                text=True,
                check=False,
            )
            traceback = "Traceback" in server.log.read_text()
    counts = re.findall(r"(\d[\d,]*) generated", done.stdout)
    failures = re.findall(r"(?m)^- .*", done.stdout)
    return {
        "cases": max((int(count.replace(",", "")) for count in counts), default=0),
        "exit_code": done.returncode,
        "failures": sorted(set(failures)),
        "traceback_in_the_log": traceback,
        "summary": [line[:300] for line in done.stdout.splitlines()[-100 if failures else -25 :]],
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--examples", type=int, default=EXAMPLES, help="of each operation in each phase")
    options.add_argument("--seeds", type=int, nargs="+", default=(1, 2))
    chosen = options.parse_args()
    main(chosen.examples, chosen.seeds)
