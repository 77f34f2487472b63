"""An API over the hand-made bundle, as its clients see it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.settings import Settings
from tests import bundles


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("serving") / "bundle")


@pytest.fixture(scope="session")
def client(bundle_folder: Path) -> Iterator[TestClient]:
    with started(Settings(bundle=bundle_folder)) as ready:
        yield ready


@contextmanager
def started(settings: Settings, wait: bool = True) -> Iterator[TestClient]:
    """The app with its lifespan; errors that it does not handle come out as answers, as they would from a server."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        deadline = time.monotonic() + 20
        while wait and client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline, client.get("/readyz").json()
            time.sleep(0.01)
        yield client


@pytest.fixture(scope="session")
def start() -> Any:
    return started
