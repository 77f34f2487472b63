"""What tests of the API share: stores of their own, and waiting until an app is ready."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from fastapi.testclient import TestClient

from serving.settings import Settings
from serving.stores.migrations import migrate

Start = Callable[[Settings], AbstractContextManager[TestClient]]


def new_store(folder: Path) -> str:
    """The url of a new store with its tables."""
    url = f"sqlite:///{folder}/events.sqlite"
    migrate(url)
    return url


def until_ready(client: TestClient) -> TestClient:
    """Wait until it can answer."""
    deadline = time.monotonic() + 60
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, client.get("/readyz").text
        time.sleep(0.01)
    return client


def until(done: Callable[[], object]) -> None:
    """Wait until something that happens beside the requests has happened."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
