"""The server ends under load: every client is answered or refused; no connection is cut."""

import signal
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.apps import until
from tests.support.servers import connected, head, read, serving

CLIENTS = 8


@pytest.mark.parametrize("workers", [1, 2])
def test_no_connection_is_cut_when_the_server_ends(
    bundle_folder: Path, root: Path, tmp_path: Path, workers: int
) -> None:
    command, settings = [sys.executable, "-m", "serving"], {"RECSYS_LEAVE_SECONDS": "0.5"}
    outcomes: Counter[str] = Counter()
    with serving(command, bundle_folder, root, tmp_path / "log", workers, **settings) as (url, process):
        clients = [threading.Thread(target=ask_until_refused, args=(url, outcomes)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        until(lambda: outcomes["answered"] > 5 * CLIENTS)
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join()
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)
    assert outcomes == {"answered": outcomes["answered"], "refused": CLIENTS}


def ask_until_refused(url: str, outcomes: "Counter[str]") -> None:
    """Ask on a new connection each time."""
    while True:
        try:
            client = connected(url)
        except ConnectionError:
            outcomes["refused"] += 1
            return
        with client:
            with suppress(ConnectionError):
                client.sendall(head("/v1/recommend/anna", None, "connection: close"))
            outcomes["answered" if read(client).startswith(b"HTTP/1.1 200 ") else "cut"] += 1
