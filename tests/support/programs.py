"""Programs that tests start: a Redis on a socket in a folder, without anything on disk, and Chromium."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium")
REASON = "no Chromium here; install it (Debian: apt install chromium)"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=REASON)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def running_redis(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Its address, once it answers, and its process; without the program `redis-server` the test is skipped."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here; install it (Debian: apt install redis-server)")
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(["redis-server", *options], stdout=log, stderr=log)
    try:
        url = f"unix://{socket}"
        with redis.Redis.from_url(url) as client:
            deadline = time.monotonic() + 30
            while not _answers(client):
                assert process.poll() is None, (folder / "redis.log").read_text()
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    """The socket is there a moment before somebody listens at it."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
