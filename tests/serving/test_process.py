"""Real processes: what the API loads, how many threads it takes, that it serves and stops, and the demo."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.apps import until
from tests.support.servers import serving

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
LOOK = """
import json, sys
from pathlib import Path
import serving.app
from recsys.bundle import bundle
from serving.engine.engine import Engine
from serving.api.schemas import RecommendRequest
engine = Engine(bundle.load(Path(sys.argv[1])), "0")
for variant in engine.bundle.manifest.variants:
    engine.recommend(RecommendRequest(user_id="anna", variant=variant), "id")
modules = sorted(sys.modules)
import faiss, polars, threadpoolctl
pools = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
pools |= {"faiss": faiss.omp_get_max_threads(), "polars": polars.thread_pool_size()}
print(json.dumps({"modules": modules, "threads": pools}))
"""


@pytest.fixture(scope="module")
def fresh(bundle_folder: Path, root: Path) -> dict[str, Any]:
    """What a new process holds after it has answered from a bundle."""
    environment = {key: value for key, value in os.environ.items() if key not in LIMITS}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(bundle_folder)], env=environment, cwd=root, capture_output=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_api_loads_no_training_library(fresh: dict[str, Any]) -> None:
    top = {name.partition(".")[0] for name in fresh["modules"]}
    assert {"faiss", "fastapi", "polars"} <= top
    training = {"torch", "implicit", "scipy", "dvc", "lightgbm", "optuna", "matplotlib", "pandas"}
    assert not top & training
    assert not {
        name for name in fresh["modules"] if name.startswith(("recsys.models.", "recsys.stages", "recsys.eval"))
    }


def test_every_library_keeps_to_one_thread(fresh: dict[str, Any]) -> None:
    assert len(fresh["threads"]) >= 4  # OpenBLAS of numpy and of faiss, OpenMP, faiss, polars
    assert set(fresh["threads"].values()) == {1}, fresh["threads"]


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(("command", "workers"), [("serving", 1), ("serving", 2), ("recsys.cli serve", 1)])
def test_a_real_server_serves_and_stops(
    bundle_folder: Path, root: Path, tmp_path: Path, command: str, workers: int
) -> None:
    log = tmp_path / "log"
    words = [sys.executable, "-m", *command.split()]
    with serving(words, bundle_folder, root, log, workers) as (url, process):
        assert get(f"{url}/readyz")[0] == 200
        for path in (
            "/v1/users/u-secret-1",
            "/v1/recommend/u-secret-2?x=u-secret-3",
            "/u-secret-4",
            "/v1/user/u-secret-5",
        ):
            get(f"{url}{path}")
        status, answer = get(f"{url}/v1/recommend/anna?k=3")
        assert (status, len(answer["items"]), answer["meta"]["variant"]) == (200, 3, "als")
        assert get(f"{url}/v1/recommend/anna?k=0")[0] == 422
        for _ in range(20):
            get(f"{url}/v1/recommend/ben")
        counted = 'route="/v1/recommend/{user_id}",status="200"} 21.0'  # by all workers, after the answer was sent
        until(lambda: counted in urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)
        with pytest.raises(urllib.error.URLError, match="refused"):
            get(f"{url}/healthz")
    assert "Traceback" not in log.read_text()
    text = log.read_text()
    assert "/v1/" not in text, "no line for each request"
    assert "secret" not in text
    assert "anna" not in text


def test_without_their_supervisor_the_workers_end(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    with serving([sys.executable, "-m", "serving"], bundle_folder, root, tmp_path / "log", 2) as (url, process):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        process.kill()
        process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() and alive(pid) for pid in workers))
        with pytest.raises(urllib.error.URLError, match="refused"):
            get(f"{url}/healthz")


def test_a_worker_that_gets_no_memory_frees_its_reserve(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving([sys.executable, "-m", "serving"], bundle_folder, root, log, 1) as (url, process):
        size = re.findall(r"VmData:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        assert "out of memory" not in log.read_text()
        resource.prlimit(process.pid, resource.RLIMIT_DATA, ((int(size[0]) << 10) + 2**20, resource.RLIM_INFINITY))
        until(lambda: "the reserve of this worker is used now" in log.read_text())
        until(lambda: get(f"{url}/readyz")[0] == 200)


def alive(pid: str) -> bool:
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "shop.example"])
def test_without_keys_nobody_else_is_let_in(root: Path, host: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RECSYS_")}
    command = [sys.executable, "-m", "serving", f"--host={host}"]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: RECSYS_HOST {host!r} can be reached from other machines")
    assert done.stderr.count("\n") == 1


def test_help_names_the_settings(root: Path, run: Any) -> None:
    shown = run("python -m serving --help", root, COLUMNS="200")
    for word in ("RECSYS_PORT", "RECSYS_HOST", "RECSYS_WORKERS", "RECSYS_RELEASES", "RECSYS_BUNDLE"):
        assert word in shown


def test_the_demo_on_a_bundle_of_the_pipeline(pipeline: Path, root: Path, run: Any) -> None:
    shown = run("python -m deploy.demo", root, RECSYS_BUNDLE=str(pipeline / "bundle"))
    for text in (
        "A known user, ",
        "An unknown user, ",
        "after one event, ",
        "variant popular, no fallback",
        "Items like ",
        "ndcg@10",
    ):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert shown.rstrip().endswith("/console")


def test_the_demo_fails_when_an_answer_is_not_as_it_should_be(bundle_folder: Path, root: Path) -> None:
    """In the hand-made bundle the first user with ten items has seen them all."""
    environment = {**os.environ, "RECSYS_BUNDLE": str(bundle_folder)}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo"], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: 5 items were asked for: only 0 of 24 items may be shown here, 5 were asked for"
    )


def test_the_demo_without_a_release(root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "RECSYS_RELEASES": str(tmp_path), "RECSYS_BUNDLE": ""}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo"], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}: nothing was promoted yet; run `recsys releases promote bundle`\n"
