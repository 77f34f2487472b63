"""The pins cover the ranges, and serving needs none of the training libraries."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import lock

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def pins() -> dict[str, str]:
    return {name: line.split("==")[1] for name, line in lock.pins().items()}


@pytest.mark.parametrize("extra", ["", "train", "serve", "s3", "dev", "docs"])
def test_every_range_has_a_pin_inside_it(extra: str) -> None:
    ranges = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for needed in map(Requirement, ranges):
        pin = pins().get(canonicalize_name(needed.name))
        assert pin is not None, f"requirements.lock lacks {needed.name}: run make lock"
        assert needed.specifier.contains(pin), (
            f"requirements.lock has {needed.name}=={pin}, pyproject.toml wants {needed}"
        )


@pytest.mark.parametrize("extra", ["train", "serve", "s3", "dev", "docs"])
def test_the_lock_is_closed(extra: str) -> None:
    """All but setuptools, which a venv of Python 3.11 has from the start, so that `pip freeze` leaves it out."""
    missing = lock.closure(extra) - pins().keys() - {"setuptools"}
    assert not missing, f"requirements.lock lacks {sorted(missing)}: run make lock"


def test_the_environment_of_spark_has_the_same_pins_but_pandas() -> None:
    lines = [line for line in (ROOT / "requirements-spark.lock").read_text().splitlines() if not line.startswith("#")]
    spark: dict[str, str] = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    wanted = pins() | {"pandas": spark["pandas"]}
    assert spark == {name: wanted.get(name, version) for name, version in spark.items()}
    for needed in map(Requirement, PROJECT["optional-dependencies"]["spark"]):
        assert needed.specifier.contains(spark[canonicalize_name(needed.name)]), (
            f"requirements-spark.lock lacks {needed}: run make lock"
        )
    missing = (lock.closure("train") | lock.closure("serve")) - spark.keys() - {"setuptools"}
    assert not missing, f"requirements-spark.lock lacks {sorted(missing)}: run make lock"


def test_serving_needs_no_training_library() -> None:
    needed = lock.closure("serve")
    assert {"fastapi", "faiss-cpu", "numpy"} <= needed
    assert not needed & {"torch", "implicit", "dvc", "lightgbm", "optuna", "matplotlib", "scipy"}


def test_torch_is_pinned_without_a_build_tag() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins()["torch"])


def test_the_api_sees_at_most_nine_rooms_of_the_library() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    (seen,) = [contract["ignore_imports"] for contract in contracts if contract.get("forbidden_modules") == ["recsys"]]
    rooms = [line for line in seen if line != "serving -> recsys"]  # the package itself is no room
    assert len(rooms) <= 9
    assert all(re.fullmatch(r"serving\.\*\* -> recsys\.[a-z_.]+(\.\*\*?)?", room) for room in rooms)
