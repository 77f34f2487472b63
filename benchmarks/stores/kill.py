"""Is an acknowledged event ever lost? Writers are killed with -9 at a random moment: benchmarks/results/store_kill.json

    python -m benchmarks.stores.kill         100 kills on each store
    python -m benchmarks.stores.kill 10      another number

A writer process sends events, 16 at a time, and reports on its output each event that it is about to send and each that
was acknowledged, or refused with "nothing was taken". After the kill the store must hold every acknowledged event and
no refused one. Then every event is sent again, as by a client that got no answer, and each must be there and be counted
exactly once. In every fourth round writes are refused before: PostgreSQL itself is stopped, without a checkpoint, and
another connection keeps SQLite locked. This does not test a power failure, as the kernel keeps the writes of a process
that dies. For that the stores set synchronous=FULL and synchronous_commit=on.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import apsw
import psycopg

from benchmarks import provenance
from benchmarks.stores import servers
from recsys.schemas.store_schema import SQLITE
from serving.stores import open_store
from serving.stores.migrations import migrate
from serving.stores.protocol import WRITE_S, Event, StoreError, UnknownOutcomeError

SENDERS = 16
NOW = 1_700_000_000.0


def event(event_id: str) -> Event:
    """Each a purchase of one of ten items by a person of its own."""
    return Event(event_id, f"user-{event_id}", None, f"item-{event_id[-1]}", "purchase", None, NOW, None, NOW)


async def write(url: str, name: str) -> None:
    """Send until killed; a line per event: `>` before it is sent, then `=` acknowledged or `!` refused."""
    store = await open_store(url)

    async def sender(own: int) -> None:
        for number in range(10**9):
            event_id = f"{name}-{own}-{number}"
            os.write(1, f">{event_id}\n".encode())
            try:
                await store.add_events([event(event_id)])
            except StoreError as error:
                if not isinstance(error, UnknownOutcomeError):
                    os.write(1, f"!{event_id}\n".encode())
                await asyncio.sleep(0.05)
                continue
            os.write(1, f"={event_id}\n".encode())

    await asyncio.gather(*(sender(own) for own in range(SENDERS)))


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep a SQLite store locked, once as long as writes wait for it."""
    with closing(apsw.Connection(url.removeprefix(SQLITE))) as other:
        other.set_busy_timeout(5000)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(WRITE_S + 1)
        yield


@contextmanager
def stopped(server: servers.Postgres) -> Iterator[None]:
    """Stop a server until the block ends, first for as long as writes wait for it."""
    server.stop()
    time.sleep(WRITE_S + 1)
    yield
    server.start()


def kill_one(
    url: str, name: str, wait_s: float, away: AbstractContextManager[None], report: Path
) -> tuple[set[str], set[str], set[str]]:
    """Kill a writer `wait_s` after the first acknowledgement, in the block `away`: (sent, acknowledged, refused)."""
    command = [sys.executable, "-m", "benchmarks.stores.kill", "--write", url, name]
    with report.open("wb") as output, subprocess.Popen(command, stdout=output) as process:
        while b"=" not in report.read_bytes():
            if process.poll() is not None:
                raise RuntimeError(f"the writer ended by itself: exit code {process.returncode}")
            time.sleep(0.01)
        time.sleep(wait_s)
        with away:
            process.kill()
            process.wait()
    lines = report.read_text().split("\n")[:-1]
    sent, acknowledged, refused = ({line[1:] for line in lines if line[0] == mark} for mark in ">=!")
    return sent, acknowledged, refused


async def send_again(url: str, event_ids: set[str]) -> None:
    """Send all events again, as a client does that got no answer."""
    store = await open_store(url)
    await store.add_events([event(event_id) for event_id in sorted(event_ids)])
    await store.close()


def select(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Read with the database's own driver."""
    if url.startswith(SQLITE):
        with closing(apsw.Connection(url.removeprefix(SQLITE))) as file:
            return file.execute(statement).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def kill(url: str, kills: int, folder: Path, server: servers.Postgres | None = None) -> dict[str, int]:
    """All rounds on one store, which grows; counts that must be 0, and how much was at stake."""
    migrate(url)
    draw = random.Random(7)
    found = {"kills": kills, "acknowledged": 0, "refused": 0, "unanswered": 0}
    found |= {"lost": 0, "refused_but_stored": 0, "duplicated": 0, "miscounted": 0}
    everything: set[str] = set()
    for number in range(kills):
        wait_s = draw.random() * 0.4
        away: AbstractContextManager[None] = nullcontext()
        if number % 4 == 3:
            away = stopped(server) if server else locked(url)
        sent, acknowledged, refused = kill_one(url, f"r{number}", wait_s, away, folder / "report")
        stored = {row[0] for row in select(url, f"SELECT event_id FROM events WHERE event_id LIKE 'r{number}-%'")}
        found["acknowledged"] += len(acknowledged)
        found["refused"] += len(refused)
        found["refused_but_stored"] += len(refused & stored)
        found["unanswered"] += len(sent - acknowledged - refused)
        found["lost"] += len(acknowledged - stored)
        asyncio.run(send_again(url, sent))
        everything |= sent
    ids = [row[0] for row in select(url, "SELECT event_id FROM events")]
    counted = select(url, "SELECT count(*) FROM person_items")[0][0]
    found["duplicated"] = len(ids) - len(set(ids))
    found["lost"] += len(everything - set(ids))
    found["miscounted"] = abs(int(counted) - len(ids))
    return found


def main() -> None:
    """Measure both and write the file."""
    if sys.argv[1:2] == ["--write"]:
        asyncio.run(write(*sys.argv[2:4]))
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as temporary, servers.postgres() as server:
        folder = Path(temporary)
        results = {
            "sqlite": kill(f"{SQLITE}{folder}/events.sqlite", kills, folder),
            "postgresql": kill(server.new_database(), kills, folder, server),
        }
    provenance.write("store_kill", origin, results)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
