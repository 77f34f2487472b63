"""The stages train and index, from a split on disk to an index that answers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys.bundle import embeddings
from recsys.bundle.index import Index
from recsys.cli.main import use
from recsys.data import split as splits
from recsys.stages import index
from tests.data.made_split import make
from tests.data.test_split_protocols import items, params, table

N_ITEMS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    draw = np.random.default_rng(0)
    users, bought = draw.integers(80, size=3000), draw.integers(N_ITEMS, size=3000)
    events = table(list(zip(users.tolist(), bought.tolist(), draw.integers(50_000, size=3000).tolist(), strict=True)))
    folder = tmp_path_factory.mktemp("stages")
    shutil.copy(root / "params.yaml", folder)
    use("synthetic", folder / "params.yaml")  # whichever data set is active
    (folder / "split").mkdir()
    splits.save(make(events, items(N_ITEMS), params(), seed=1), folder / "split")
    return folder


@pytest.fixture(autouse=True)
def settings(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(root))


def run(stage: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"recsys.stages.{stage}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def train(folder: Path, out: str, *more: str) -> subprocess.CompletedProcess[str]:
    return run("train", "--model", "als", "--fold", "test", "--split", folder / "split", "--out", folder / out, *more)


def test_training_shows_progress_and_the_same_bytes_come_out_twice(folder: Path) -> None:
    done = train(folder, "one")
    assert done.returncode == 0, done.stderr
    assert re.search(r"100%.*15/15", done.stderr)
    assert f"of {N_ITEMS} items" in done.stdout
    assert train(folder, "two").returncode == 0
    for file in (folder / "one").iterdir():
        assert file.read_bytes() == (folder / "two" / file.name).read_bytes()


def test_several_folds_in_one_process_are_the_same_models(folder: Path) -> None:
    out = ["--fold", "valid", "--out", folder / "both" / "valid", "--fold", "test", "--out", folder / "both" / "test"]
    both = run("train", "--model", "als", "--split", folder / "split", *out)
    assert both.returncode == 0, both.stderr
    assert train(folder, "alone").returncode == 0
    for file in (folder / "alone").iterdir():
        assert file.read_bytes() == (folder / "both" / "test" / file.name).read_bytes()
    assert (folder / "both/valid/vectors.npy").read_bytes() != (folder / "both/test/vectors.npy").read_bytes()
    odd = run("train", "--model", "als", "--fold", "vlaid", "--split", folder / "split", "--out", folder / "odd")
    assert odd.stderr == "error: --fold 'vlaid': expected one of valid, test, all\n"


@pytest.mark.parametrize("stage", ["train", "index"])
def test_every_fold_needs_a_folder_of_its_own(folder: Path, stage: str) -> None:
    model = ["als"] if stage == "train" else [folder / "one", "--model", folder / "two"]
    folds = ["--fold", "valid", "--fold", "test", "--split", folder / "split"]
    done = run(stage, "--model", *model, *folds, "--out", folder / "lonely")
    assert done.returncode == 1
    assert done.stderr == "error: --fold is given 2 times and --out 1 times: give one --out for each --fold\n"
    assert not (folder / "lonely").exists()


def test_an_index_of_the_model_answers(folder: Path) -> None:
    assert train(folder, "model").returncode == 0
    options = ["--model", folder / "model", "--fold", "test", "--split", folder / "split"]
    done = run("index", *options, "--out", folder / "index")
    assert done.returncode == 0, done.stderr
    model = embeddings.load(folder / "model")
    rows, scores = Index.load(folder / "index", model.rows).search(model.vectors[model.rows[0]], 5)
    products = model.vectors[model.rows] @ model.vectors[model.rows[0]]
    np.testing.assert_allclose(scores, np.sort(products)[::-1][:5], rtol=1e-5)
    assert len(set(rows.tolist())) == 5


def test_recall_is_measured_with_vectors_of_users(folder: Path) -> None:
    assert train(folder, "model").returncode == 0
    model, split = embeddings.load(folder / "model"), splits.load(folder / "split")
    asked = index.users(model, split, "test", n=20, seed=1)
    assert asked is not None
    assert asked.shape == (20, model.vectors.shape[1])
    assert np.isfinite(asked).all()
    assert asked.any(axis=1).all()


def test_an_unknown_model_is_one_line(folder: Path) -> None:
    done = run("train", "--model", "alz", "--fold", "test", "--split", folder / "split", "--out", folder / "x")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no file recsys/models/alz.py" in done.stderr
    assert not (folder / "x").exists()
