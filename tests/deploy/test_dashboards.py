"""The dashboard is the one that is written, and each of its queries returns series of an API that answers."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import start_http_server

from benchmarks.monitoring import servers
from benchmarks.serving.load import prepared
from benchmarks.serving.server import running
from deploy import dashboards
from recsys.bundle import releases
from recsys.bundle.calibration import Calibration, Curve
from recsys.drift import recorded
from serving.console import prometheus
from serving.watch import actions, cycle, outcomes
from tests.support import bundles

CURVE = Curve(bias=-2.0, slots=500, wanted=50)
INTERVAL_S, PATIENCE_S = 1, 120


def test_the_dashboard_is_as_written() -> None:
    assert dashboards.TARGET.read_text() == dashboards.content(), "run python -m deploy.dashboards"
    titles = [title for title, _ in dashboards.queries()]
    panels = [panel for panel in json.loads(dashboards.content())["panels"] if panel["type"] != "row"]
    assert {panel["title"] for panel in panels} == set(titles)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that measures its confidence."""
    folder = tmp_path_factory.mktemp("dashboards")
    Calibration(horizon_days=7.0, curves={"als": {"als": CURVE}}).save(folder / "measured.json")
    releases.promote(bundles.write(folder / "bundle", calibration=folder / "measured.json"), folder / "releases")
    return folder / "releases"


def send(port: int, path: str, body: Any) -> None:
    url, data = f"http://127.0.0.1:{port}{path}", json.dumps(body).encode()
    try:
        urllib.request.urlopen(urllib.request.Request(url, data, {"content-type": "application/json"}), timeout=30)
    except urllib.error.HTTPError as error:
        if error.code != 422:
            raise


@contextmanager
def watch() -> Iterator[int]:
    """The metrics of `recsys watch` after it has seen an answer, its purchase, and a feature that changed."""
    items = [{"item_id": "garden-10", "position": 1, "confidence": 0.3}]
    shown = recorded.Recorded("r1", "u:anna", 1e9, "als", "b1", "home", "warm", items, {})
    outcomes.show([shown], [recorded.StoredEvent("u:anna", "garden-10", "purchase", 9.5, 1e9 + 60, "r1")])
    cycle.P.labels("scores", "confidence").set(0.2)
    cycle.MOVED.labels("scores", "confidence").set(0.01)
    actions.FINDINGS.labels("scores", "tell").inc()
    server, thread = start_http_server(0, "127.0.0.1")
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(bool(servers.missing()), reason="Prometheus or Alertmanager, Debian's packages, are missing")
def test_every_query_returns_series(released: Path, tmp_path: Path) -> None:
    environment = {"RECSYS_RELEASES": str(released), "RECSYS_LIVE_SECONDS": "1", "RECSYS_CPU_HOUR_PRICE": "0.04"}
    environment |= {"RECSYS_LAST_KNOWN": str(tmp_path / "known"), **prepared(tmp_path)}
    waiting = dict.fromkeys(dashboards.queries())
    with (
        running("serving", tmp_path, 2, **environment) as server,
        watch() as watch_port,
        servers.monitoring(tmp_path, server.port, f"{INTERVAL_S}s", watch_port) as watched,
    ):
        deadline = time.monotonic() + PATIENCE_S
        while waiting and time.monotonic() < deadline:
            for user in ("anna", "ben", "stranger"):
                send(server.port, "/v1/recommend", {"user_id": user})
            send(server.port, "/v1/recommend", {"user_id": "anna", "variant": "newcomers"})
            send(server.port, "/v1/recommend", {"k": 0})
            event = {"user_id": "anna", "item_id": "garden-10", "event": "purchase", "value": 9.5}
            send(server.port, "/v1/events", event)
            time.sleep(INTERVAL_S)
            for title, query in list(waiting):
                found = watched.query(query.replace("$__rate_interval", "1m"))
                if found and all(series["value"][1] != "NaN" for series in found):
                    del waiting[title, query]
        hosts = asyncio.run(prometheus.hosts(watched.url))
        assert hosts is not None
        assert hosts[f"127.0.0.1:{server.port}"]["release"] == releases.current(released).name
    assert not waiting
