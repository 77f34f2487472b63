"""A real standalone master and two workers on this machine: stages run as children of one submitted application, and a
worker is killed in the middle of a fit."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundle import embeddings
from recsys.data import split as splits
from recsys.models import als_spark
from recsys.stages import fetch, prepare, split
from tests.spark.environment import ROOT, SETTINGS, needs_spark, params
from tests.spark.test_engine import run, written

pytestmark = needs_spark
STAGES_BEFORE = 8  # of Spark: then some iterations are done and others are not


def program(name: str) -> str:
    import pyspark

    return str(Path(pyspark.__file__).parent / "bin" / name)


@contextmanager
def daemon(name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Spark with a group of its own, to which its executors belong."""
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}
    command: list[str] = [
        program("spark-class"),
        f"org.apache.spark.deploy.{name}",
        "--host",
        "127.0.0.1",
        "--webui-port",
        "0",
        *arguments,
    ]
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def until(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 240
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def told(folder: Path, event: str) -> list[dict[str, Any]]:
    """The events of a name that Spark wrote into its log."""
    lines = [line for path in folder.iterdir() for line in path.read_text(encoding="utf-8").splitlines(keepends=True)]
    read = (json.loads(line) for line in lines if line.endswith("\n"))
    return [line for line in read if line["Event"] == f"SparkListener{event}"]


@dataclass(frozen=True)
class Cluster:
    master: str
    workers: list[subprocess.Popen[bytes]]

    def settings(self, log: Path) -> dict[str, str]:
        return {
            "spark.master": self.master, "spark.driver.host": "127.0.0.1", "spark.executor.memory": "512m",
            "spark.eventLog.enabled": "true", "spark.eventLog.dir": log.as_uri(), "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
        }  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    master = f"spark://127.0.0.1:{(port := free_port())}"
    work = str(tmp_path_factory.mktemp("work"))
    with ExitStack() as stack:
        stack.enter_context(daemon("master.Master", "--port", str(port)))
        one = ["worker.Worker", "--cores", "1", "--memory", "768m", "--work-dir", work, master]
        yield Cluster(master, [stack.enter_context(daemon(*one)) for _ in range(2)])


def test_stages_are_children_of_a_submitted_application_and_share_it(tmp_path: Path, cluster: Cluster) -> None:
    """As on Kubernetes: the main file is deploy/spark_driver.py, and master and settings are those of spark-submit."""
    raw, folder, log = (tmp_path / name for name in ("raw", "spark", "log"))
    fetch.main(raw, params=params(tmp_path))
    wanted = run(tmp_path / "local", raw)
    folder.mkdir()
    log.mkdir()
    stage, settings = f"{sys.executable} -m recsys.stages", params(folder, engine="spark")
    prepared = f"{stage}.prepare --raw {raw} --tables tables --report report.json --text report.txt --params {settings}"
    cut = f"{stage}.split --tables tables --out split --params {settings}"
    given = cluster.settings(log) | {"spark.sql.shuffle.partitions": "3", "spark.cores.max": "1"}
    submit = [program("spark-submit"), *(word for pair in given.items() for word in ("--conf", "=".join(pair)))]
    done = subprocess.run(
        [*submit, str(ROOT / "deploy/spark_driver.py"), "sh", "-c", f"{prepared} && {cut} && exit 4"],
        cwd=folder, env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr[-3000:]  # that of the command
    assert written(folder) == wanted
    (_,), (environment,) = told(log, "ApplicationStart"), told(log, "EnvironmentUpdate")
    assert given.items() <= dict(environment["Spark Properties"]).items()
    assert told(log, "ExecutorAdded")  # it was not this machine alone


def test_a_worker_that_is_killed_in_the_middle_of_a_fit(tmp_path: Path, cluster: Cluster) -> None:
    settings, cut, log, conf = (tmp_path / name for name in ("params.yaml", "split", "log", "conf"))
    params(tmp_path)
    fetch.main(tmp_path / "raw", settings)
    prepare.main(tmp_path / "raw", tmp_path / "tables", tmp_path / "r.json", tmp_path / "r.txt", settings)
    split.split(tmp_path / "tables", cut, settings)
    for folder in (log, conf):
        folder.mkdir()
    lines = "".join(f"{key} {value}\n" for key, value in cluster.settings(log).items())
    (conf / "spark-defaults.conf").write_text(lines)
    environment = {**os.environ, "SPARK_CONF_DIR": str(conf), "SPARK_LOCAL_IP": "127.0.0.1"}
    train = ["train", "--model", "als_spark", "--fold", "test", "--split", str(cut), "--out", str(tmp_path / "fitted")]
    command = [sys.executable, "-m", f"recsys.stages.{train[0]}", *train[1:], "--params", str(settings)]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        until(
            lambda: (
                running.poll() is not None
                or (len(told(log, "ExecutorAdded")) == 2 and len(told(log, "StageCompleted")) >= STAGES_BEFORE)
            ),
            "the fit did not come that far",
        )
        assert running.poll() is None, running.communicate()[1]
        kill(cluster.workers[0])
        _, failed = running.communicate(timeout=240)
    assert running.returncode == 0, failed[-3000:]
    lost, last = told(log, "ExecutorRemoved")[0], told(log, "StageCompleted")[-1]
    assert lost["Timestamp"] < last["Stage Info"]["Completion Time"]  # and not when all was done
    found = embeddings.load(tmp_path / "fitted")
    alone = als_spark.fit(splits.load(cut).training("test", 7, 1), als_spark.Config.model_validate(SETTINGS))
    assert found.rows.tolist() == alone.rows.tolist()
    np.testing.assert_allclose(found.vectors, alone.vectors, atol=1e-4)
