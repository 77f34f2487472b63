"""Parts that break: a source, the store, the cache, a worker, the disk, descriptors, memory, the clock."""

import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import apsw
import psycopg
from redis import Redis

from benchmarks.serving.faults.place import Place
from recsys.schemas.store_schema import SQLITE

SPARE_BYTES = 1 << 20
WRITES_A_SECOND = 4  # of a slow disk: a commit of SQLite takes about a second
BLKIO = Path("/sys/fs/cgroup/blkio")


class NotHereError(OSError):
    """This machine cannot have a fault."""


@contextmanager
def _flag(path: Path) -> Iterator[None]:
    path.touch()
    try:
        yield
    finally:
        path.unlink()


def source_raises(place: Place) -> AbstractContextManager[None]:
    """The source of the collaborative model raises at every request."""
    return _flag(place.folder / "source_raises")


def source_slow(place: Place) -> AbstractContextManager[None]:
    """The same source takes 300 ms."""
    return _flag(place.folder / "source_slow")


@contextmanager
def store_locked(place: Place) -> Iterator[None]:
    """Another process keeps the SQLite store locked."""
    other = apsw.Connection(place.environment["RECSYS_STORE_URL"].removeprefix(SQLITE))
    other.set_busy_timeout(5000)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def postgres_stopped(place: Place) -> Iterator[None]:
    """The PostgreSQL store is stopped at once."""
    assert place.postgres is not None
    place.postgres.stop()
    try:
        yield
    finally:
        place.postgres.start()


def postgres_frozen(place: Place) -> AbstractContextManager[None]:
    """Connections stay open, and nothing answers."""
    assert place.postgres is not None
    return place.postgres.frozen()


@contextmanager
def postgres_slow(place: Place) -> Iterator[None]:
    """Another session locks the table of events for half a second again and again."""
    assert place.postgres is not None
    script = "DO $$ BEGIN FOR n IN 1..600 LOOP LOCK events; PERFORM pg_sleep(0.5); COMMIT; PERFORM pg_sleep(0.05); "
    script += "END LOOP; END $$"
    with (
        psycopg.connect(place.postgres.url(), autocommit=True) as connection,
        psycopg.connect(place.postgres.url(), autocommit=True) as stopper,
    ):
        backend = connection.info.backend_pid

        def slow() -> None:
            with suppress(psycopg.Error):
                connection.execute(script)

        thread = Thread(target=slow)
        thread.start()
        try:
            yield
        finally:
            stopper.execute("SELECT pg_terminate_backend(%s)", [backend])
            thread.join()


@contextmanager
def cache_gone(place: Place) -> Iterator[None]:
    """The Redis cache is gone."""
    assert place.redis is not None
    place.redis.kill()
    place.redis.wait()
    try:
        yield
    finally:
        place.start_redis()


@contextmanager
def cache_frozen(place: Place) -> Iterator[None]:
    """The Redis cache keeps its connections and answers nothing."""
    assert place.redis is not None
    place.redis.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        place.redis.send_signal(signal.SIGCONT)


@contextmanager
def cache_slow(place: Place) -> Iterator[None]:
    """The Redis cache answers nothing for 0.2 s, again and again."""
    ended = Event()

    def slow() -> None:
        with Redis.from_url(place.environment["RECSYS_CACHE_URL"]) as redis:
            while not ended.wait(0.25):
                redis.execute_command("CLIENT", "PAUSE", "200")

    thread = Thread(target=slow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def worker_killed(place: Place) -> Iterator[None]:
    """One of the two workers dies at once."""
    os.kill(place.server.workers()[0], signal.SIGKILL)
    yield


@contextmanager
def worker_frozen(place: Place) -> Iterator[None]:
    """One of the two workers stands still; its supervisor ends it after some seconds."""
    worker = place.server.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)


@contextmanager
def disk_full(place: Place) -> Iterator[None]:
    """The disk of the store is full."""
    if not os.path.ismount(place.folder / "store"):
        raise NotHereError("a small disk of its own needs root")
    filler = place.folder / "store/filler"
    with suppress(OSError), filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler.parent).free - SPARE_BYTES)
        file.seek(0, os.SEEK_END)
        while True:
            file.write(b"\0" * 65536)
            file.flush()
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def disk_slow(place: Place) -> Iterator[None]:
    """The disk of the store and of the copies on this host does few operations a second for the server."""
    group, disk = BLKIO / f"recsys-{place.server.process.pid}", place.folder / "store"
    if not os.path.ismount(disk) or not BLKIO.is_dir():
        raise NotHereError("a slow disk needs root, a loop device and the cgroup controller blkio")
    device = disk.stat().st_dev
    try:
        group.mkdir()
    except OSError as error:
        raise NotHereError(f"a slow disk needs to write control groups: {error}") from error
    for kind in ("read", "write"):
        limit = f"{os.major(device)}:{os.minor(device)} {WRITES_A_SECOND}"
        (group / f"blkio.throttle.{kind}_iops_device").write_text(limit)
    try:
        for process in (place.server.process.pid, *place.server.workers()):
            (group / "cgroup.procs").write_text(str(process))
        yield
    finally:
        for member in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):  # it has ended
                (BLKIO / "cgroup.procs").write_text(member)
        group.rmdir()


def _limited(kind: str, limit: Callable[[int], int]) -> Callable[[Place], AbstractContextManager[None]]:
    """Each worker has a limit of this kind (an option of prlimit); `limit` gets its process id."""

    @contextmanager
    def limited(place: Place) -> Iterator[None]:
        workers = place.server.workers()
        for worker in workers:
            _set_limit(worker, kind, limit(worker))
        try:
            yield
        finally:
            for worker in workers:
                with suppress(OSError):  # it has ended
                    _set_limit(worker, kind, None)

    return limited


def _set_limit(worker: int, kind: str, limit: int | None) -> None:
    name = getattr(resource, f"RLIMIT_{kind}")
    most = resource.prlimit(worker, name)[1]
    resource.prlimit(worker, name, (most if limit is None else limit, most))


def _hardly_more_files(worker: int) -> int:
    return max(int(name) for name in os.listdir(f"/proc/{worker}/fd")) + 3


def _hardly_more_memory(worker: int) -> int:
    status = Path(f"/proc/{worker}/status").read_text()
    return (int(re.findall(r"VmData:\s+(\d+)", status)[0]) << 10) + SPARE_BYTES


no_descriptors = _limited("NOFILE", _hardly_more_files)
no_memory = _limited("DATA", _hardly_more_memory)
read_only = _limited("FSIZE", lambda _: 0)  # as on a disk that has become read-only: nothing open can be written either


def clock(change: str) -> Callable[[Place], AbstractContextManager[None]]:
    """The wall clock jumps, and jumps back."""
    if re.fullmatch(r"[+-]\d+d", change) is None:
        raise ValueError(change)

    @contextmanager
    def jumped(place: Place) -> Iterator[None]:
        (place.folder / "clock").write_text(f"{change}\n")
        time.sleep(1.5)  # it is read once a second
        try:
            yield
        finally:
            (place.folder / "clock").write_text("+0\n")

    return jumped
