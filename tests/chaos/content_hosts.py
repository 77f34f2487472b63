"""Trains the content model on two hosts, which are network namespaces of this machine, as docs/operations.md says.

    python -m tests.chaos.content_hosts PARAMS SPLIT OUT

Writes OUT/0 and OUT/1, the models of both hosts. Needs root; exit code: that of the first host that fails.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from benchmarks.provenance import TOP
from benchmarks.stores import namespaces

PATIENCE_S = 600
TYPED = re.compile(r"(?m)^    ((?:\w+=\S+ )+)dvc repro --force --single-item train@content$")


def environments(address: str) -> list[dict[str, str]]:
    """What is typed before the command on each host; address: of the first."""
    typed = TYPED.findall((TOP / "docs/operations.md").read_text(encoding="utf-8"))
    here = {"PET_MASTER_ADDR": address, "GLOO_SOCKET_IFNAME": "front"}
    return [dict(word.split("=", 1) for word in line.split()) | here for line in typed]


def main(params: Path, split: Path, out: Path) -> int:
    """Start the stage on both and wait for it."""
    stage = ["-m", "recsys.stages.train", "--model", "content", "--fold", "test", "--params", str(params)]
    with namespaces.hosts(2) as hosts:
        running = [
            subprocess.Popen(
                [*host.inside, sys.executable, *stage, "--split", str(split), "--out", str(out / str(host.number))],
                env={**os.environ, **typed},
                start_new_session=True,
            )
            for host, typed in zip(hosts, environments(hosts[0].address), strict=True)
        ]
        try:
            return max(abs(process.wait(PATIENCE_S)) for process in running)
        finally:
            for process in running:  # the group: where hosts do not find each other, torchrun waits
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    namespaces.enter()
    sys.exit(main(*map(Path, sys.argv[1:])))
