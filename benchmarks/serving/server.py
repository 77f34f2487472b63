"""Real server processes for the benchmarks: started, measured from the outside, stopped."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEASURES = ("serving/__main__.py", "serving/app.py")
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 180.0


@dataclass(frozen=True)
class Server:
    """A running server: its port and the process that was started."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def workers(self) -> list[int]:
        """Process ids that answer requests: the children, or the process itself when it has none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = [int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found or [self.process.pid]

    def cpu_seconds(self) -> float:
        """User and system time of all workers so far."""
        return sum(cpu_seconds(pid) for pid in self.workers())

    def memory_mib(self) -> dict[str, float]:
        """Resident and proportional set size of all workers together; shared pages count once in the latter."""
        rss = pss = 0
        for pid in self.workers():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in ("Rss", "Pss"):
                    kib = int(rest.split()[0])
                    rss, pss = (rss + kib, pss) if name == "Rss" else (rss, pss + kib)
        return {"rss": round(rss / 1024, 1), "pss": round(pss / 1024, 1)}


def cpu_seconds(pid: int) -> float:
    """User and system time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def exposures_counted(port: int) -> tuple[int, int]:
    """Exposures written and dropped, as /metrics says."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    found = dict(re.findall(r'recsys_exposures_total\{outcome="(\w+)"\} ([\d.]+)', page))
    return int(float(found.get("written", 0))), int(float(found.get("dropped", 0)))


@contextmanager
def running(app: str, folder: Path, workers: int = 1, **environment: str) -> Iterator[Server]:
    """`app` is what uvicorn calls a factory, or a module for `python -m`, such as "serving"; `folder` takes the log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    program = (
        [sys.executable, "-m", app]
        if ":" not in app
        else [sys.executable, "-m", "uvicorn", "--factory", app, "--no-access-log", "--log-level", "warning"]
    )
    command = [*program, "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    log = folder / f"{app.replace(':', '-')}.log"
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **single, **environment})
        try:
            server = Server(port, process, log)
            _wait(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=1).read()
            return
        except (OSError, urllib.error.URLError):
            if server.process.poll() is not None:
                break
            time.sleep(0.1)
    raise SystemExit(f"the server did not become ready:\n{server.log.read_text()[-2000:]}")
