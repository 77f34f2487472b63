"""The Console over the hand-made bundle, as a browser on the same machine asks for it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

Send = Callable[..., Any]


@pytest.fixture
def console(shop: TestClient) -> TestClient:
    """A browser on this machine: without keys other host names are refused."""
    shop.base_url = "http://localhost"
    return shop


@pytest.fixture
def send(console: TestClient) -> Send:
    """Send a form of the shop window with its token."""

    def sent(path: str, page: str = "/console", **fields: Any) -> Any:
        token = re.search(r'name="token" value="([^"]+)"', console.get(page).text)
        assert token is not None
        return console.post(path, data={"token": token[1], **fields})

    return sent
