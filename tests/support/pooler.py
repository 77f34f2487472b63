"""A real pgbouncer in transaction mode before a real PostgreSQL: every transaction may run in another session."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from benchmarks.stores import servers
from benchmarks.stores.servers import Postgres

PROGRAM = Path("/usr/sbin/pgbouncer")
SETTINGS = """[databases]
{database} = host=127.0.0.1 port={port} dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
{more}
"""


@contextmanager
def pooled(postgres: Postgres, folder: Path, more: str = "") -> Iterator[str]:
    """The url of an empty database behind the pooler; more: lines of its settings."""
    direct = postgres.emptied()
    parts = conninfo.conninfo_to_dict(direct)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    names = {"database": parts["dbname"], "port": parts["port"], "user": parts["user"], "listen": listen, "more": more}
    file = folder / "pgbouncer.ini"
    file.write_text(SETTINGS.format(**names))
    owner: dict[str, Any] = servers._unprivileged(folder)
    folder.chmod(0o755)
    for parent in folder.parents:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o011)  # pgbouncer refuses to run as root
    url = f"postgresql://{parts['user']}@127.0.0.1:{listen}/{parts['dbname']}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, str(file)], stdout=log, stderr=log, **owner)
        try:
            _wait(url, process, folder)
            yield url
        finally:
            process.terminate()
            process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        else:
            return
