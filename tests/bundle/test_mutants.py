"""Re-hashed mutants of a bundle: each is refused with a BundleError, or loads and answers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bundle_mutants
from recsys.bundle import bundle, index
from recsys.bundle.index import build
from recsys.errors import BundleError
from recsys.recommend import self_check
from tests.support import bundles

MUTANTS = 30


def run(folder: Path, n: int, seed: int, tmp_path: Path) -> None:
    """In a process without threads: it forks one child for every mutant."""
    command = [sys.executable, "-m", "benchmarks.bundle_mutants", str(n), str(seed), str(folder)]
    environment = {**self_check.ONE_THREAD, "RECSYS_BENCHMARK_RESULTS": str(tmp_path)}
    done = subprocess.run(
        ["env", *(f"{key}={value}" for key, value in environment.items()), *command],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


def with_lists(folder: Path) -> Path:
    """The hand-made bundle, its index with lists."""
    made = bundles.write(folder / "bundle")
    opened = bundle.load(made).models["als"].embeddings
    params = bundles.settings().index.model_copy(update={"exact_up_to": 2, "min_recall": 0.1})
    lists = build(np.array(opened.vectors), np.array(opened.rows), params, 0)
    lists.save(made / "models" / "als")
    content = json.loads((made / bundle.MANIFEST).read_text())
    content["models"]["als"]["index"] = lists.report.model_dump()
    (made / bundle.MANIFEST).write_text(json.dumps(content))
    bundle_mutants.rehash(made)
    return made


def test_of_a_bundle_with_lists(tmp_path: Path) -> None:
    folder = with_lists(tmp_path)
    assert bundle.load(folder).models["als"].index.report.kind == "ivf_fp16"
    run(folder, MUTANTS, 10_000, tmp_path)


@pytest.mark.parametrize("lists", [False, True])
def test_an_index_of_other_vectors(lists: bool, tmp_path: Path) -> None:
    folder = with_lists(tmp_path) if lists else bundles.write(tmp_path / "bundle")
    path = folder / "models" / "als" / index.INDEX
    content = bytearray(path.read_bytes())
    vector = bundle.load(folder).models["als"].embeddings.vectors[3]
    stored = vector.astype(np.float16 if lists else np.float32).tobytes()
    at = content.index(stored)
    content[at : at + len(stored)] = (vector * 2).astype(np.float16 if lists else np.float32).tobytes()
    path.write_bytes(content)
    bundle_mutants.rehash(folder)
    with pytest.raises(BundleError, match="holds other vectors than the model"):
        bundle.load(folder)


def test_what_stops_the_process_stops_the_child_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bundles.write(tmp_path / "bundle")
    self_check.check_apart(folder)
    monkeypatch.setattr(self_check, "MEMORY", 1 << 20)
    monkeypatch.setattr(self_check, "SECONDS", 15)  # with so little memory a child may also stand still
    with pytest.raises(BundleError, match="bundle"):
        self_check.check_apart(folder)
    monkeypatch.setattr(self_check, "MEMORY", 4 << 30)
    monkeypatch.setattr(self_check, "SECONDS", 0)
    with pytest.raises(BundleError, match="its check did not end within 0 s"):
        self_check.check_apart(folder)
    shutil.copyfile(folder / "models" / "als" / "rows.npy", folder / "models" / "als" / "vectors.npy")
    bundle_mutants.rehash(folder)
    monkeypatch.setattr(self_check, "SECONDS", 120)
    with pytest.raises(
        BundleError, match=r"vectors\.npy: its dtype is int32, expected float32; build the bundle again"
    ):
        self_check.check_apart(folder)
