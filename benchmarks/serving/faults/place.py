"""Where faults happen: a server of two workers with its own releases, store, cache, disk and clock."""

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.server import Server, running
from benchmarks.stores import servers

TOP = Path(__file__).parents[3]
APP = "benchmarks.serving.faults.faulty"
FAKETIME = f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketimeMT.so.1"
WORKERS = 2
DISK_BYTES = 1 << 30  # a fault of five minutes writes 200 MB
RULES = "block: {items: [kitchen-5]}\n"


@dataclass
class Place:
    """One folder for everything; `server` runs in it, `postgres` and `redis` when they are needed."""

    folder: Path
    environment: dict[str, str]
    server: Server = field(init=False)
    postgres: servers.Postgres | None = None
    redis: "subprocess.Popen[bytes] | None" = None

    def start_redis(self) -> None:
        """A cache on the port of the place."""
        port = self.environment["RECSYS_CACHE_URL"].rpartition(":")[2]
        command = ["redis-server", "--port", port, "--save", "", "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self.redis = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise OSError("redis-server does not answer")

    def stop_redis(self) -> None:
        """Kill the cache, also one that is stopped by a signal."""
        if self.redis is not None:
            self.redis.kill()
            self.redis.wait()


@contextmanager
def place(
    releases: Path, store: str = "sqlite", *, cache: bool = False, clock: bool = False, settings: Mapping[str, str] = {}
) -> Iterator[Place]:
    """A place whose server is ready; it is all gone afterwards. store: sqlite or postgresql; settings: of the server.

    Raises:
        OSError, subprocess.CalledProcessError: what it needs cannot be had here.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        here = Place(folder, {"FAULTS": str(folder), **settings})
        prepare(here, releases)
        if store == "postgresql":
            here.postgres = stack.enter_context(servers.postgres())
            here.environment["RECSYS_STORE_URL"] = here.postgres.url()
        elif os.geteuid() == 0:
            stack.enter_context(disk_of_its_own(folder / "store"))
        if cache:
            here.environment["RECSYS_CACHE_URL"] = f"redis://127.0.0.1:{free_port()}"
            here.start_redis()
            stack.callback(here.stop_redis)
        if clock:
            here.environment |= fake_clock(folder)
        migrate(here)
        with started(here):
            yield here


@contextmanager
def disk_of_its_own(folder: Path) -> Iterator[None]:
    """Mount a small disk, a file behind a loop device, on `folder`. Needs root."""
    image = folder.with_name("disk")
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    # without a journal whoever syncs writes by himself, and is slowed down himself
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


@contextmanager
def started(here: Place) -> Iterator[Server]:
    """The server of a place, ready; stopped at the end, so that it can be started again."""
    with running(APP, here.folder, WORKERS, **here.environment) as here.server:
        yield here.server


def prepare(here: Place, releases: Path) -> None:
    """The files that a server follows: releases, rules, experiments, and a folder for a store."""
    shutil.copytree(releases, here.folder / "releases", symlinks=True)
    (here.folder / "store").mkdir()
    (here.folder / "rules.yaml").write_text(RULES)
    (here.folder / "experiments.yaml").write_text("experiments: {}\n")
    here.environment |= {
        "RECSYS_RELEASES": str(here.folder / "releases"),
        "RECSYS_LAST_KNOWN": str(here.folder / "store/last known"),
        "RECSYS_RULES": str(here.folder / "rules.yaml"),
        "RECSYS_EXPERIMENTS": str(here.folder / "experiments.yaml"),
        "RECSYS_STORE_URL": f"sqlite:///{here.folder}/store/store.sqlite",
        "RECSYS_RECEIVE_SECONDS": "3",
    }


def migrate(here: Place) -> None:
    """Make the tables."""
    url = here.environment["RECSYS_STORE_URL"]
    subprocess.run([sys.executable, "-m", "serving.stores", "migrate", "--url", url], check=True, cwd=TOP)


def fake_clock(folder: Path) -> dict[str, str]:
    """An environment whose wall clock is off by what the file `clock` says; how long something takes stays true."""
    if not Path(FAKETIME).exists():
        raise OSError("libfaketime is absent; install it (Debian: apt install faketime)")
    (folder / "clock").write_text("+0\n")
    preload = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(folder / "clock")}
    return {**preload, "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
