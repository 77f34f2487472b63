"""Real Prometheus and Alertmanager with the files of `deploy/prometheus`, pointed at servers of this machine."""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MEASURES = ("deploy/prometheus",)
FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
PROMETHEUS, ALERTMANAGER = "prometheus", "prometheus-alertmanager"  # Debian's names
START_SECONDS = 60.0


def missing() -> list[str]:
    """Names of the programs that are not installed."""
    return [name for name in (PROMETHEUS, ALERTMANAGER) if shutil.which(name) is None]


@dataclass
class Monitoring:
    """A Prometheus that runs, and the alerts that reached the webhook: (seconds since 1970, alert)."""

    url: str
    received: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        asked = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}", timeout=10) as response:
            return json.load(response)["data"]["result"]

    def alerts(self, name: str, status: str = "firing") -> list[float]:
        """The times at which the webhook received this alert."""
        return [at for at, alert in self.received if (alert["labels"]["alertname"], alert["status"]) == (name, status)]


@contextmanager
def monitoring(
    folder: Path, api_port: int, interval: str | None = None, watch_port: int | None = None
) -> Iterator[Monitoring]:
    """Start both, with a webhook; interval: of scrapes and evaluations, by default as committed."""
    running = Monitoring(f"http://127.0.0.1:{_free_port()}")
    port, alerts_port = running.url.rpartition(":")[2], _free_port()
    with ExitStack() as stack:
        webhook = stack.enter_context(_webhook(running))
        shutil.copytree(FOLDER, folder / "etc")
        changes = {
            "prometheus.yml": {"api:8000": f"127.0.0.1:{api_port}", "alertmanager:9093": f"127.0.0.1:{alerts_port}"},
            "alertmanager.yml": {"url_file: /run/secrets/alert_webhook": f"url: {webhook}"},
        }
        if watch_port is not None:
            changes["prometheus.yml"]["watch:9108"] = f"127.0.0.1:{watch_port}"
        if interval is not None:
            changes["prometheus.yml"]["_interval: 15s"] = f"_interval: {interval}"
        for name, texts in changes.items():
            text = (folder / "etc" / name).read_text()
            for before, after in texts.items():
                assert before in text, f"{name}: {before}"
                text = text.replace(before, after)
            (folder / "etc" / name).write_text(text)
        etc = folder / "etc"
        for command in (
            [ALERTMANAGER, f"--config.file={etc}/alertmanager.yml", f"--storage.path={folder}/alerts",
             f"--web.listen-address=127.0.0.1:{alerts_port}", "--cluster.listen-address="],
            [PROMETHEUS, f"--config.file={etc}/prometheus.yml", f"--storage.tsdb.path={folder}/metrics",
             f"--web.listen-address=127.0.0.1:{port}"],
        ):  # fmt: skip
            log = stack.enter_context((folder / f"{command[0]}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(_end, process)
        for ready in (f"{running.url}/-/ready", f"http://127.0.0.1:{alerts_port}/-/ready"):
            _wait(ready)
        yield running


@contextmanager
def _webhook(running: Monitoring) -> Iterator[str]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            running.received += [(time.time(), alert) for alert in body["alerts"]]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
