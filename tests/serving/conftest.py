"""An API over the hand-made bundle, as its clients see it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.settings import Settings
from tests import bundles

Start = Callable[[Settings], AbstractContextManager[TestClient]]


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("serving") / "bundle")


@pytest.fixture(scope="session")
def start() -> Start:
    """The app with its lifespan; an exception that it does not handle is an answer here, as it is behind a server."""
    return _start


@pytest.fixture(scope="session")
def client(bundle_folder: Path) -> Iterator[TestClient]:
    """Ready to answer from the hand-made bundle."""
    with _start(Settings(bundle=bundle_folder)) as ready:
        deadline = time.monotonic() + 60
        while ready.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline, ready.get("/readyz").text
            time.sleep(0.01)
        yield ready


@contextmanager
def _start(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
