"""The pins cover the ranges, and serving needs none of the training libraries."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "a pin reads name==version and nothing else"
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def closure(extra: str) -> set[str]:
    """Every distribution that `recsys[extra]` needs, read from the installed metadata."""
    seen: set[tuple[str, str]] = set()
    todo = [("recsys", extra), ("recsys", "")]
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": wanted}):
                todo += [(canonicalize_name(needed.name), each) for each in ("", *needed.extras)]
    return {name for name, _ in seen}


@pytest.mark.parametrize("extra", ["", "train", "serve", "dev"])
def test_every_range_has_a_pin_inside_it(extra: str) -> None:
    ranges = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for needed in map(Requirement, ranges):
        pin = pins().get(canonicalize_name(needed.name))
        assert pin is not None, f"requirements.lock lacks {needed.name}: run make lock"
        assert needed.specifier.contains(pin), (
            f"requirements.lock has {needed.name}=={pin}, pyproject.toml wants {needed}"
        )


@pytest.mark.parametrize("extra", ["train", "serve", "dev"])
def test_the_lock_is_closed(extra: str) -> None:
    """All but setuptools, which a venv of Python 3.11 has from the start, so that `pip freeze` leaves it out."""
    missing = closure(extra) - pins().keys() - {"recsys", "setuptools"}
    assert not missing, f"requirements.lock lacks {sorted(missing)}: run make lock"


def test_serving_needs_no_training_library() -> None:
    needed = closure("serve")
    assert {"fastapi", "faiss-cpu", "numpy"} <= needed
    assert not needed & {"torch", "implicit", "dvc", "lightgbm", "optuna", "matplotlib", "scipy"}


def test_torch_is_pinned_without_a_build_tag() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins()["torch"])
