"""Starts real servers, PostgreSQL and S3, for benchmarks and tests: empty, on a free port, deleted afterwards."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

DEBIAN = Path("/usr/lib/postgresql")


def program(name: str) -> str | None:
    """Where `initdb` or `pg_ctl` is; Debian keeps them out of PATH."""
    found = sorted(DEBIAN.glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


class Postgres:
    """A server in `folder`; `url(database)` is what psycopg takes. host: the address of this machine it listens at."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        with socket.socket() as free:
            free.bind((host, 0))
            self._port = free.getsockname()[1]
        self._folder, self._host = folder, host
        self._owner = _unprivileged(folder)
        self._run("initdb", "-U", "recsys", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        with (folder / "data/pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")
        self.start()

    def url(self, database: str = "postgres") -> str:
        """For `open_store` and psycopg."""
        return f"postgresql://recsys@{self._host}:{self._port}/{database}"

    def new_database(self) -> str:
        """The url of an empty database."""
        name = f"d{uuid4().hex}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def emptied(self) -> str:
        """The url of one and the same database, without tables: a new one costs 300 files."""
        with psycopg.connect(self.url(), options="-c client_min_messages=warning -c lock_timeout=10s") as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url()

    def start(self) -> None:
        """Start the server; return when it answers."""
        # syncfs: after a stop without a checkpoint the next start would sync every file on its own
        settings = f"-c listen_addresses={self._host} -c recovery_init_sync_method=syncfs"
        options = f"-p {self._port} -k {self._folder} {settings}"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop the server at once, as if the machine failed: the next start recovers from the log."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze all processes of the server: connections stay open, and nothing answers."""
        main = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(main)], capture_output=True, text=True, check=True)
        processes = [main, *map(int, listed.stdout.split())]

        def send(number: signal.Signals) -> None:
            for process in processes:
                with suppress(ProcessLookupError):  # a connection may have ended, and its process with it
                    os.kill(process, number)

        send(signal.SIGSTOP)
        try:
            yield
        finally:
            send(signal.SIGCONT)

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(program(name)), "-D", str(self._folder / "data"), *arguments]
        done = subprocess.run(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **self._owner
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")


@contextmanager
def postgres(host: str = "127.0.0.1") -> Iterator[Postgres]:
    """Yield a started server; stop and delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        server = Postgres(folder, host)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def s3(host: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """A server of the S3 protocol (moto) that keeps everything in memory; what its clients need in the environment."""
    with socket.socket() as free:
        free.bind((host, 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", host, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 120
            while not _listens(host, port):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("moto does not start: " + " ".join(command))
                time.sleep(0.1)
            keys = {
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            yield {"AWS_ENDPOINT_URL": f"http://{host}:{port}", **keys}
        finally:
            server.kill()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def _unprivileged(folder: Path) -> dict[str, Any]:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = [entry.pw_name for entry in pwd.getpwall()]
    owner = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, owner)
    return {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []}
