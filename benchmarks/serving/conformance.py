"""Thousands of generated requests against a real server: does every answer keep to the OpenAPI document, without a 5xx?

    python -m benchmarks.serving.conformance [--examples 150]    writes benchmarks/results/serving_conformance.json

schemathesis, all checks, all phases. A test runs a few cases of the same (tests/serving/api/test_contract.py).
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import prepared
from benchmarks.serving.server import running
from serving import api_keys
from serving.api_keys import Scope

TOP = Path(__file__).parents[2]
PATIENT = {"RECSYS_DEADLINE_MS": "60000", "RECSYS_STORE_MS": "60000"}


def main(examples: int = 400, *more: str) -> None:
    """Run with so many examples of each operation in each phase, and more options of schemathesis; write."""
    origin, (key, line) = provenance.describe(), api_keys.new("conformance", Scope)
    with tempfile.TemporaryDirectory() as name:
        environment = {"RECSYS_RELEASES": str(shop.releases()), **prepared(Path(name)), **PATIENT}
        with running("serving", Path(name), 1, **environment, RECSYS_API_KEYS=line) as server:
            command = ["schemathesis", "run", f"http://127.0.0.1:{server.port}/openapi.json", "--checks", "all"]
            command += ["--max-examples", str(examples), "--seed", "1", "--no-color", *more]
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
    found = {
        "cases": max((int(count.replace(",", "")) for count in counts), default=0),
        "exit_code": done.returncode,
        "traceback_in_the_log": traceback,
        "summary": done.stdout.splitlines()[-25:],
    }
    provenance.write("serving_conformance", origin, found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--examples", type=int, default=400, help="of each operation in each phase")
    main(options.parse_args().examples)
