"""What the store and its readers share is true of the tables of both databases, and stands in one place."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import DataError
from recsys.experiments.analysis import log
from recsys.experiments.online.config import Arm, Experiment
from recsys.schemas.store_reader import snapshot
from recsys.schemas.store_schema import DEFAULT_URL, TABLES, fingerprint, named, select_from
from serving.settings import Settings
from serving.stores.migrations import migrate
from serving.stores.protocol import StoreError
from serving.stores.store import Store

SECRET = "postgres:anna:secret@host"


@pytest.mark.parametrize("table", TABLES)
def test_every_column_that_readers_name_is_in_the_table(table: str, select: Callable[[str], list[Any]]) -> None:
    assert isinstance(select(select_from(table)), list)


@pytest.mark.anyio
async def test_the_hash_of_a_user_is_the_same_for_the_store_and_its_readers(store: Store, url: str) -> None:
    await store.forget("anna")
    with snapshot(url) as select:
        ((salt,),) = select(select_from("salt"))
        assert [row[0] for row in select(select_from("forgotten", "fingerprint"))] == [fingerprint(salt, "anna")]


def test_the_address_of_the_store_has_one_owner(root: Path) -> None:
    assert Settings().store_url == DEFAULT_URL
    found = subprocess.run(
        ["grep", "-rlE", r"sqlite:///store|sha256\(f\"\{.*salt", "--include=*.py", "recsys", "serving"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # and a docstring that shows the form of an address
    assert sorted(found.stdout.split()) == [
        "recsys/datasets/events.py",
        "recsys/schemas/store_schema.py",
        "serving/stores/__init__.py",
    ]


@pytest.mark.parametrize("url", [SECRET, f"mysql://{SECRET}", "sqlite://store.sqlite?key=secret", ""])
def test_another_address_is_refused_without_its_password(url: str) -> None:
    experiment = Experiment(arms={"a": Arm(variant="x", weight=0.5), "b": Arm(variant="y", weight=0.5)})
    assert "secret" not in named(url)
    with pytest.raises(StoreError, match=r"expected sqlite:///path or postgresql://") as by_the_store:
        migrate(url)
    with pytest.raises(DataError, match=r"expected sqlite:///path or postgresql://") as by_training, snapshot(url):
        pass
    with pytest.raises(DataError, match=r"expected sqlite:///path or postgresql://") as by_the_readout:
        log.read(url, "home", experiment)
    assert all("secret" not in str(caught.value) for caught in (by_the_store, by_training, by_the_readout))
