"""Two hosts behind a real nginx with deploy/nginx.conf: one of them dies with requests on their way to it."""

import inspect
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import uvicorn

from serving.stores.protocol import WRITE_S
from tests.support.apps import until
from tests.support.servers import listens, serving

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
ASKED = {
    "/v1/recommend": {"user_id": "anna", "k": 3},
    "/v1/events": {"event_id": "once", "user_id": "anna", "item_id": "kitchen-1", "event": "view"},
    "/v1/identity/unmerge": {"anonymous_id": "guest"},  # twice would undo two merges
}
TIMES = 4


@pytest.fixture(scope="module")
def conf(root: Path) -> str:
    return (root / "deploy/nginx.conf").read_text()


def post(url: str, path: str) -> tuple[str, int]:
    request = Request(url + path, json.dumps(ASKED[path]).encode(), {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=60) as answer:
            return path, int(answer.status)
    except HTTPError as refused:
        return path, refused.code


def unread(port: int) -> int:
    """Connections to a port with bytes that its process has not read."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        line[1].endswith(f":{port:04X}") and line[3] == "01" and not line[4].endswith(":00000000") for line in lines
    )


def test_another_host_answers_what_was_on_its_way_to_one_that_died(
    conf: str, bundle_folder: Path, root: Path, tmp_path: Path
) -> None:
    if NGINX is None:
        pytest.skip("no nginx here; .ci/run installs it on Debian")
    with ExitStack() as stack:
        hosts = []
        for name in "ab":
            (tmp_path / name).mkdir()
            log = tmp_path / name / "log"
            hosts.append(stack.enter_context(serving([sys.executable, "-m", "serving"], bundle_folder, root, log, 1)))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        servers = "".join(f"server {urlsplit(url).netloc} max_fails=3 fail_timeout=2s;" for url, _ in hosts)
        for old, new in (
            ("server api:8000;", servers),
            ("worker_processes auto;", "worker_processes 1;"),  # it sends every second request to the same host
            ("listen 8080;", f"listen 127.0.0.1:{port};"),
            ("/tmp/nginx.pid", str(tmp_path / "pid")),
        ):
            assert conf.count(old) == 1
            conf = conf.replace(old, new)
        (tmp_path / "nginx.conf").write_text(conf)
        nginx = stack.enter_context(
            subprocess.Popen(
                [NGINX, "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"], stdout=subprocess.DEVNULL
            )
        )
        stack.callback(nginx.terminate)
        until(lambda: listens(port))
        dying, dying_port = hosts[0][1], urlsplit(hosts[0][0]).port or 0
        dying.send_signal(signal.SIGSTOP)  # so that requests are on their way for certain
        with ThreadPoolExecutor(TIMES * len(ASKED)) as pool:
            asked: list[Future[tuple[str, int]]] = []
            for path in ASKED:
                asked.extend(pool.submit(post, f"http://127.0.0.1:{port}", path) for _ in range(TIMES))
                until(lambda: unread(dying_port) + sum(answer.done() for answer in asked) == len(asked))
            dying.kill()
        found = Counter(answer.result() for answer in asked)
    assert found == {
        ("/v1/recommend", 200): TIMES,
        ("/v1/events", 200): TIMES,
        ("/v1/identity/unmerge", 404): TIMES // 2,
        ("/v1/identity/unmerge", 502): TIMES // 2,
    }


def test_nginx_waits_longer_and_closes_earlier_than_the_api(conf: str) -> None:
    """Else a store that hangs would take all hosts out, and a request could meet the end of its connection."""
    seconds = {name: int(value) for name, value in re.findall(r"(\w+_timeout) (\d+)s;", conf)}
    assert seconds["proxy_read_timeout"] > 2 * WRITE_S
    idle = inspect.signature(uvicorn.Config.__init__).parameters["timeout_keep_alive"].default
    assert seconds["keepalive_timeout"] < idle
