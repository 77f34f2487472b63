"""Real servers for tests, processes with a port, and raw sockets that send them what they like."""

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

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
            while not listens(int(port)):  # a worker opens its port when it has its bundle, or a moment later
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def connected(url: str) -> socket.socket:
    """A connection to the server at `url`, whose reads end after 30 s."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def head(path: str, length: int | None = None, *lines: str) -> bytes:
    """The head of a request; with a length that of a POST."""
    more = [] if length is None else ["content-type: application/json", f"content-length: {length}"]
    start = f"{'GET' if length is None else 'POST'} {path} HTTP/1.1"
    return "\r\n".join([start, "host: x", *more, *lines, "", ""]).encode()


def sent(client: socket.socket, parts: Iterable[bytes]) -> int:
    """Send until the server has had enough; how many bytes it took."""
    n = 0
    try:
        for part in parts:
            client.sendall(part)
            n += len(part)
    except OSError:
        pass
    return n


def read(client: socket.socket) -> bytes:
    """What comes until the server closes the connection or cuts it."""
    found = b""
    try:
        while part := client.recv(65536):
            found += part
    except ConnectionError:
        pass
    return found


def answer(client: socket.socket) -> bytes:
    """One answer with a length, on a connection that stays open."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = client.recv(65536)
        if not part:
            return found
        found += part
    start, _, body = found.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in start.lower().split(b"\r\n") if line[:15] == b"content-length:")
    while len(body) < length:
        body += client.recv(65536)
    return start + b"\r\n\r\n" + body


@contextmanager
def many(url: str, n: int, first: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that have sent the same first bytes."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(url)) for _ in range(n)]
        for client in clients:
            client.sendall(first)
        yield clients


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
