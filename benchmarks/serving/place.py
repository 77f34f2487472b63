"""Where one fault happens, and the database, cache or disk that it needs."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.serving import shop
from benchmarks.serving.server import Server


class Place:
    """Where one fault happens: its folder, the server's environment, and the server once it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: Server | None = None
        shutil.copytree(shop.releases(), folder / "releases", symlinks=True)
        self.environment = {
            "RECSYS_RELEASES": str(folder / "releases"),
            "RECSYS_STORE_URL": f"sqlite:///{folder}/store/store.sqlite",
            "FAULTS": str(folder),
        }
        (folder / "store").mkdir()


def prepare(name: str, place: Place) -> None:
    """What the fault needs besides the server."""
    if name.startswith("disk full"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", place.folder / "store"], check=True)
    if name == "cache down":
        port = free_port()
        start_redis(port)
        place.environment["RECSYS_CACHE_URL"] = f"redis://127.0.0.1:{port}"
    if "PostgreSQL" in name:
        (place.folder / "pg").mkdir()
        shutil.chown(place.folder / "pg", "nobody") if os.getuid() == 0 else None
        as_nobody(["initdb", "-D", str(place.folder / "pg"), "-A", "trust", "-U", "recsys", "-E", "UTF8"])
        port = free_port()
        options = f"port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\n"
        with (place.folder / "pg/postgresql.conf").open("a") as file:
            file.write(options)
        (place.folder / "pg.log").touch(0o666)
        (place.folder / "pg.log").chmod(0o666)
        pg_ctl(place, "start", "-w", "-l", str(place.folder / "pg.log"))
        place.environment["RECSYS_STORE_URL"] = f"postgresql://recsys@127.0.0.1:{port}/postgres"


def clean(name: str, place: Place) -> None:
    """Stop and unmount what `prepare` made."""
    if name.startswith("disk full"):
        subprocess.run(["umount", "-l", place.folder / "store"], check=False)
    if name == "cache down":
        port = place.environment["RECSYS_CACHE_URL"].rpartition(":")[2]
        subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], check=False, capture_output=True)
    if "PostgreSQL" in name:
        with suppress(subprocess.CalledProcessError):
            pg_ctl(place, "stop", "-m", "immediate")


def start_redis(port: int) -> None:
    """A cache on this port."""
    command = ["redis-server", "--port", str(port), "--save", "", "--daemonize", "yes", "--bind", "127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    time.sleep(0.3)


def pg_ctl(place: Place, *arguments: str) -> None:
    """Start or stop the database of the place."""
    as_nobody(["pg_ctl", "-D", str(place.folder / "pg"), *arguments])


def as_nobody(command: list[str]) -> None:
    """PostgreSQL refuses to run as root."""
    user = "nobody" if os.getuid() == 0 else None
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", user=user)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
