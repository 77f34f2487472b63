"""Whatever the OpenAPI document allows is answered as it says; what it does not allow is refused; nothing is a 5xx.

A few cases of each operation; thousands: `schemathesis run`, as tests/support/schemathesis_hooks.py tells.
"""

import os
import subprocess
import sys
from pathlib import Path

from serving import api_keys
from serving.api_keys import Scope
from tests.support.servers import serving

EXAMPLES = 3


def test_every_operation_keeps_the_contract(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    key, line = api_keys.new("tests", Scope)
    command = [sys.executable, "-m", "serving"]
    patient = {"RECSYS_DEADLINE_MS": "60000", "RECSYS_STORE_MS": "60000"}  # on a busy machine it would refuse some
    with serving(command, bundle_folder, root, tmp_path / "log", 1, RECSYS_API_KEYS=line, **patient) as (url, _):
        ask = f"schemathesis run {url}/openapi.json --checks all --phases examples,fuzzing --seed 1 --no-color"
        done = subprocess.run(
            [*ask.split(), "--max-examples", str(EXAMPLES), "--header", f"Authorization: Bearer {key}"],
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(root)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert "Traceback" not in (tmp_path / "log").read_text()
