"""Alerts of a real Prometheus on the page Health, and a Prometheus that does not answer."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import socket

import pytest
from fastapi.testclient import TestClient

from serving.console import prometheus
from serving.settings import Settings
from tests.support.apps import Start, new_store, until, until_ready

RULES = """groups: [{name: test, rules: [
  {alert: TooWarm, expr: vector(1), labels: {severity: page, room: kitchen}},
  {alert: TooCold, expr: vector(0) > 1}]}]"""


def free_port() -> int:
    with closing(socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus with two rules, of which one fires."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus, Debian's package, is missing")
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "prometheus.yml").write_text("{global: {evaluation_interval: 1s}, rule_files: [rules.yml]}")
    address = f"127.0.0.1:{free_port()}"
    files = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    command = ["prometheus", *files, f"--web.listen-address={address}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield f"http://{address}"
        process.terminate()


@contextmanager
def opened(bundle_folder: Path, tmp_path: Path, start: Start, url: str) -> Iterator[TestClient]:
    with start(Settings(bundle=bundle_folder, store_url=new_store(tmp_path), prometheus_url=url)) as client:
        client.base_url = "http://localhost"
        until_ready(client)
        yield client


def test_a_firing_alert_stands_on_top(bundle_folder: Path, tmp_path: Path, start: Start, url: str) -> None:
    with opened(bundle_folder, tmp_path, start, url) as client:
        until(lambda: "Alert TooWarm" in client.get("/console/health").text)
        page = client.get("/console/health").text
        assert "room kitchen" in page
        assert "TooCold" not in page
        assert asyncio.run(prometheus.hosts(url)) == {}


def test_a_prometheus_that_does_not_answer_is_said(bundle_folder: Path, tmp_path: Path, start: Start) -> None:
    with opened(bundle_folder, tmp_path, start, f"http://127.0.0.1:{free_port()}") as client:
        assert "Prometheus does not answer" in client.get("/console/health").text
        assert "what other hosts serve is not known" in client.get("/console/releases").text
