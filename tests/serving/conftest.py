"""An API over the hand-made bundle, as its clients see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.apps import Start, new_store, until, until_ready


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("serving") / "bundle")


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with its tables, shared by the tests that do not count what is in it."""
    return new_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def start(store_url: str) -> Start:
    """The app with its lifespan; an exception that it does not handle is an answer here, as it is behind a server.

    Settings that name no store get the shared one.
    """

    @contextmanager
    def started(settings: Settings) -> Iterator[TestClient]:
        if "store_url" not in settings.model_fields_set:
            settings = settings.model_copy(update={"store_url": store_url})
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            yield client

    return started


@pytest.fixture(scope="session")
def client(bundle_folder: Path, start: Start) -> Iterator[TestClient]:
    """Ready to answer from the hand-made bundle. For tests that write nothing into the store."""
    with start(Settings(bundle=bundle_folder)) as ready:
        service = until_ready(ready).app.state.service  # type: ignore[attr-defined]
        until(lambda: service.engine().live is not None)  # or popular items change between the answers of one test
        yield ready


@pytest.fixture
def shop(bundle_folder: Path, start: Start, tmp_path: Path) -> Iterator[TestClient]:
    """Ready to answer, with a store of its own."""
    with start(Settings(bundle=bundle_folder, store_url=new_store(tmp_path))) as ready:
        yield until_ready(ready)
