"""Two real workers under requests while a release is promoted, rolled back, and a broken one is promoted."""

import http.client
import json
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from recsys.bundle import releases
from serving.settings import Settings
from tests.support import bundles
from tests.support.servers import serving

K = 5


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same shop with other titles: an answer that mixes the two bundles gives itself away."""
    catalogue = bundles.catalogue().with_columns(title=pl.lit("Second ") + pl.col("title"))
    with monkeypatch.context() as patch:
        patch.setattr(bundles, "catalogue", lambda: catalogue)
        return bundles.write(tmp_path / "second")


class Clients:
    """What several clients saw: titles' first word and bundle, and whatever was not a full answer."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._stop = threading.Event()
        self.seen: Counter[tuple[str, str]] = Counter()
        self.odd: list[Any] = []

    @contextmanager
    def asking(self, n: int) -> Iterator["Clients"]:
        threads = [threading.Thread(target=self._ask) for _ in range(n)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        body = json.dumps({"user_id": "anna", "k": K})
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(self._host, timeout=30)
            try:
                for _ in range(10):  # then another connection, maybe to the other worker
                    connection.request("POST", "/v1/recommend", body, {"content-type": "application/json"})
                    response = connection.getresponse()
                    answer = json.load(response)
                    if response.status != 200 or len(answer["items"]) != K or answer["meta"]["degraded"]:
                        self.odd.append(answer)
                    for item in answer.get("items", []):
                        self.seen[item["title"].split()[0], answer["meta"]["bundle_id"]] += 1
            except OSError as error:
                self.odd.append(error)
            finally:
                connection.close()


def test_no_request_fails_and_no_answer_mixes_two_bundles(
    bundle_folder: Path, second: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = tmp_path / "releases", tmp_path / "log"
    monkeypatch.setenv("RECSYS_RELEASES", str(folder))
    monkeypatch.setenv("RECSYS_DEADLINE_MS", "10000")  # this is about swaps, also on a busy machine
    monkeypatch.setenv("RECSYS_STORE_MS", "10000")

    def until(text: str, times: int) -> None:
        deadline = time.monotonic() + 180
        while log.read_text().count(text) < times:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    first = releases.promote(bundle_folder, folder)
    with serving([sys.executable, "-m", "serving"], None, root, log, 2) as (url, _), Clients(url).asking(3) as clients:
        until(f"serving bundle {first}", 2)
        other = releases.promote(second, folder)
        until(f"serving bundle {other}", 2)
        shutil.rmtree(Settings(releases=folder).last_known_folder / first)  # or else this host serves its copy
        (folder / first / "catalogue.parquet").rename(tmp_path / "aside")
        state = json.loads((folder / releases.STATE).read_text())
        (folder / releases.STATE).write_text(json.dumps({**state, "stack": [first]}))  # a rollback to half a bundle
        until(f"{other} is still served: {folder}/{first}/catalogue.parquet: named in the manifest but missing", 2)
        (tmp_path / "aside").rename(folder / first / "catalogue.parquet")
        until(f"serving bundle {first}", 4)
        releases.promote(second, folder)
        until(f"serving bundle {other}", 4)
        releases.rollback(folder)
        until(f"serving bundle {first}", 6)
        before = clients.seen["Title", first]
        deadline = time.monotonic() + 180
        while clients.seen["Title", first] < before + 100 * K:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert clients.odd == []
    assert set(clients.seen) == {("Title", first), ("Second", other)}
    assert "Traceback" not in log.read_text()
