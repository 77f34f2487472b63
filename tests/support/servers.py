"""Real servers for tests: processes with a port."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.stores.migrations import migrate


@contextmanager
def serving(
    command: list[str], bundle: Path | None, root: Path, log: Path, workers: int, **settings: str
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A server of its own process, with a store of its own, whose workers are all ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with log.open("wb") as output:
        environment = {
            **os.environ,
            "RECSYS_BUNDLE": str(bundle or ""),
            "RECSYS_PORT": port,
            "RECSYS_WORKERS": str(workers),
        }
        environment |= settings
        environment["RECSYS_STORE_URL"] = f"sqlite:///{log.parent}/events.sqlite"
        migrate(environment["RECSYS_STORE_URL"])
        process = subprocess.Popen(command, env=environment, cwd=root, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 120
            while log.read_text().count("serving bundle") < workers:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.kill()
            process.wait()
