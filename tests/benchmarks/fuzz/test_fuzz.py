"""Hundreds of inputs of each target, and the command where Atheris is installed."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fuzz import __main__ as fuzz
from benchmarks.fuzz import targets
from recsys.bundle import bundle
from recsys.errors import BundleError
from tests.benchmarks.conftest import Results
from tests.support import bundles

INPUTS = {"filter": 2000, "cursor": 2000, "yaml": 1000, "bundle": 100}


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = bundles.write(tmp_path_factory.mktemp("fuzz") / "bundle")
        patch.setenv(targets.BUNDLE, str(folder))
        yield folder


def inputs(target: str) -> Iterator[bytes]:
    """The seeds, and seeds in which bytes were changed, cut out or copied."""
    draw, seeds = random.Random(1), targets.SEEDS[target]
    yield from seeds
    for _ in range(INPUTS[target]):
        data = bytearray(draw.choice(seeds))
        for _ in range(draw.randrange(1, 6)):
            at, other = sorted(draw.randrange(len(data) + 1) for _ in range(2))
            data[at:other] = draw.choice([b"", draw.randbytes(3), data[at:other] * 2, b"\xff", b"("])
        yield bytes(data)


@pytest.mark.parametrize("target", targets.TARGETS)
def test_any_bytes_are_read_or_refused(target: str) -> None:
    for data in inputs(target):
        targets.TARGETS[target](data)


def test_a_bundle_is_whole_again_and_most_changes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[bool] = []
    load = bundle.load

    def noted(folder: Path) -> Any:
        try:
            loaded = load(folder)
        except BundleError:
            outcomes.append(False)
            raise
        outcomes.append(True)
        return loaded

    monkeypatch.setattr(bundle, "load", noted)
    for data in inputs("bundle"):
        targets.load_bundle(data)
    assert outcomes.count(False) > 10
    load(targets._bundle()[0])


def test_the_command(results: Results, small: Path) -> None:
    pytest.importorskip("atheris", reason="Atheris has no wheel for this machine, or is not installed")
    fuzz.main(["cursor"], 1, small)
    (found,) = results("fuzz")["targets"].values()
    assert found["inputs"] > 100
    assert found["crashes"] == []


def test_a_crash_is_found(tmp_path: Path) -> None:
    """The bundle is absent, which no target declares."""
    pytest.importorskip("atheris", reason="Atheris has no wheel for this machine, or is not installed")
    found = fuzz.fuzz("bundle", 1, tmp_path / "absent", 1)
    assert "FileNotFoundError" in found["said"] or "IndexError" in found["said"] or "ZeroDivision" in found["said"]
    assert len(found["crashes"]) == 1
