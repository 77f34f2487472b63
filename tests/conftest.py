"""What tests share: the real data if it is here, and one small finished run of the whole pipeline."""

import recsys  # noqa: F401  # isort: skip  # first: it selects the CPU kernels before numpy is loaded

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from benchmarks.stores import servers
from benchmarks.stores.servers import Postgres, program
from tests.support import programs, small_shop
from tests.support.programs import browser as browser  # a fixture

# Before a test imports numpy, torch or faiss: each brings its own OpenMP, and two tests run at a time.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# What an API last knew is kept for the whole host: tests have a folder of their own.
_last_known = tempfile.TemporaryDirectory(prefix="recsys-tests-")
os.environ["RECSYS_LAST_KNOWN"] = _last_known.name
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., str]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the publishers' archives (`ml-latest-small/`, `online-retail/`); else the test is skipped."""
    named = os.environ.get("RECSYS_DATA_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data here: {folder} is no folder; set RECSYS_DATA_DIR to one that holds ml-latest-small")
    return folder.resolve()


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a shell command in a folder, return its stdout; if it does not exit 0, fail the test with all it printed."""
    return _run


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace where `dvc repro` has run on a small synthetic data set. Shared by all tests: read, never write."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, outcome = base / "pipeline", base / "pipeline.outcome"
    with FileLock(base / "pipeline.lock"):
        if not outcome.exists():
            try:
                _run("dvc repro", _make_workspace(folder))
                outcome.write_text("")
            except AssertionError as error:
                outcome.write_text(str(error))
    if trouble := outcome.read_text():
        pytest.fail(trouble, pytrace=False)
    return folder


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis of our own."""
    with programs.running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of our own; `postgres.emptied()` is the url of an empty database."""
    if program("initdb") is None:
        pytest.skip("no PostgreSQL server here; install it (Debian: apt install postgresql)")
    with servers.postgres() as server:
        yield server


def _run(command: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _make_workspace(folder: Path) -> Path:
    """A clone with uncommitted work in it, and small data."""
    for name in _run("git ls-files -z --cached --others --exclude-standard", ROOT).split("\0"):
        if name and name != "dvc.lock" and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    small_shop.change(folder / "params.yaml", "synthetic", small_shop.SMALL, threads=1)
    _run("git init -q -b main && git config user.name t && git config user.email t@example.org", folder)
    _run("git add -A && git commit -q -m start", folder)
    return folder
