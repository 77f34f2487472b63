"""Real server processes for the benchmarks: started, measured from the outside, stopped."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

MEASURES = ("serving/__main__.py", "serving/app.py")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
KINDS = ("rss", "pss")
START_SECONDS = 180.0


@dataclass(frozen=True)
class Server:
    """A running server: its port, the process that was started, and the address that it listens at."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def workers(self) -> list[int]:
        """Process ids that answer requests: the children, or the process itself when it has none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = [int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found or [self.process.pid]

    def cpu_seconds(self) -> float:
        """User and system time of all workers so far."""
        return sum(cpu_seconds(pid) for pid in self.workers())

    def memory_mib(self) -> dict[str, float]:
        """Memory of all workers together. rss: resident pages, one that two workers use twice; pss: those that are used
        by others too in part, also by processes that are not of the server; own: every page of the workers once.
        """
        rolled = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.workers()]
        kib = {name: sum(int(re.findall(rf"\n{name.title()}: +(\d+)", text)[0]) for text in rolled) for name in KINDS}
        frames = np.unique(np.concatenate([_frames(pid) for pid in self.workers()]))
        return {name: round(n / 1024, 1) for name, n in {**kib, "own": len(frames) * PAGE / 1024}.items()}


def _frames(pid: int) -> npt.NDArray[np.uint64]:
    """Return the numbers of the pages of memory that a process uses, (n,). Needs root: for others all are 0."""
    parts = [np.empty(0, dtype=np.uint64)]
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as file:
        for line in maps:
            begin, end = (int(number, 16) // PAGE for number in line.split()[0].split("-"))
            if begin < 1 << 51:  # not vsyscall
                file.seek(8 * begin)
                entries = np.frombuffer(file.read(8 * (end - begin)), dtype=np.uint64)
                parts.append(entries[entries >> np.uint64(63) == 1] & np.uint64((1 << 55) - 1))
    return np.concatenate(parts)


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
def running(
    app: str,
    folder: Path,
    workers: int = 1,
    host: str = "127.0.0.1",
    port: int = 0,
    inside: Sequence[str] = (),
    /,
    **environment: str,
) -> Iterator[Server]:
    """`app` is what uvicorn calls a factory, or a module for `python -m`, such as "serving"; `folder` takes the log.

    port: 0 is a free one; inside: the words before the command, such as those that enter a namespace.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = port or int(free.getsockname()[1])
    program = (
        [sys.executable, "-m", app]
        if ":" not in app
        else [sys.executable, "-m", "uvicorn", "--factory", app, "--no-access-log", "--log-level", "warning"]
    )
    command = [*inside, *program, "--host", host, "--port", str(port), "--workers", str(workers)]
    log = folder / f"{app.replace(':', '-')}.log"
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **single, **environment})
        try:
            server = Server(port, process, log, host)
            _wait(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def apart(*servers: Server) -> Iterator[None]:
    """The servers, of one process each, have the first core of this process; it has the last, and what it starts."""
    cores = sorted(os.sched_getaffinity(0))
    for server in servers:
        for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[0]})
    os.sched_setaffinity(0, {cores[-1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(cores))


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://{server.address}/readyz", timeout=1).read()
            return
        except (OSError, urllib.error.URLError):
            if server.process.poll() is not None:
                break
            time.sleep(0.1)
    raise SystemExit(f"the server did not become ready:\n{server.log.read_text()[-2000:]}")
