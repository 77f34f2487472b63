"""Every engine writes the bytes that the engine `local` writes."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from recsys import params as settings
from recsys.data import engines, split_protocols
from recsys.data import prepare as preparation
from recsys.data.engines import Engine, duckdb, local
from recsys.errors import DataError, ParamsError
from recsys.output import file_hash
from tests.data import test_prepare
from tests.data.test_prepare import event, tables
from tests.data.test_split_protocols import N_ITEMS, START, items, params, random_events, table

OTHERS = pytest.mark.parametrize("engine", [duckdb], ids=lambda engine: engine.__name__.rpartition(".")[2])


def hashes(folder: Path) -> dict[str, str]:
    assert not [path for path in folder.iterdir() if path.is_dir()]
    return {path.name: file_hash(path) for path in sorted(folder.iterdir())}


def split(interactions: Path, out: Path, engine: Engine, **changes: Any) -> dict[str, str]:
    out.mkdir()
    split_protocols.write(interactions, items(N_ITEMS), params(**changes), 3, out, None, engine)
    return hashes(out)


@OTHERS
@pytest.mark.parametrize(
    "case",
    [
        {},
        {"protocol": "per_user_holdout", "cold_item_share": 0.2},
        {"protocol": "per_user_holdout", "allow_repeat": True},
        {"days": 1},
    ],
    ids=str,
)
def test_the_split_has_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, case: dict[str, Any]
) -> None:
    """Rows that are equal in user, time and item keep the order of the file; days: so few different times."""
    n, rng = 4_000, np.random.default_rng(1)
    day = pl.Series(rng.integers(0, case.pop("days", 60), n))
    events = table(random_events(n, 80)).with_columns(
        user_id=pl.col("user_id").str.replace("u1$", "uü日"),
        timestamp=pl.lit(START) + day * timedelta(days=1),
        event=pl.Series(rng.choice(["view", "purchase"], n)),
        value=pl.Series(rng.choice([0.1, 1e12, np.nan], n)).fill_nan(None),
        weight=pl.Series(rng.choice([0.0, 1.0, 5.0], n), dtype=pl.Float32),
    )
    interactions = tmp_path / "it's events.parquet"
    events.sink_parquet(interactions, row_group_size=700)
    wanted = split(interactions, tmp_path / "local", local, **case)
    monkeypatch.setattr(split_protocols, "BATCH_ROWS", 333)
    assert split(interactions, tmp_path / "other", engine, **case) == wanted


@OTHERS
def test_an_unknown_item_is_the_same_line(tmp_path: Path, engine: Engine) -> None:
    table([(n % 5, 20 - n % 3, n) for n in range(50)]).sink_parquet(tmp_path / "events.parquet")
    for name, each in (("one", local), ("two", engine)):
        with pytest.raises(DataError, match="'i18' is not in items"):
            split(tmp_path / "events.parquet", tmp_path / name, each)


@OTHERS
def test_the_tables_have_the_same_bytes(tmp_path: Path, engine: Engine) -> None:
    """Copies, users with too many events on one day, also with copies only, and rows with every other fault."""
    rows = test_prepare.dirty(100, 5)
    rows += [event("busy", "a", minute) for minute in range(8)] + [event("copied", "b", 5)] * 8
    rows += [event("often", "b", 1_440 * day) for day in range(8)]
    found = {}
    for name, each in (("local", local), ("other", engine)):
        out = tmp_path / name
        out.mkdir()
        chosen = test_prepare.settings(max_events_per_user_day=6)
        report = preparation.prepare(tables(rows), "shop", chosen, out, each)
        found[name] = report, hashes(out)
    assert found["local"] == found["other"]
    report = found["local"][0]
    assert report.interactions.reasons["bot_like_user"] >= 8
    assert report.interactions.reasons["duplicate"] >= 7
    kept = pl.read_parquet(tmp_path / "other/interactions.parquet")
    assert {"copied", "often"} <= set(kept["user_id"])
    assert "busy" not in set(kept["user_id"])
    assert report.repeat_rate == 1 - kept.unique(["user_id", "item_id"]).height / kept.height > 0


def test_a_package_that_is_missing_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(engines, "duckdb")
    monkeypatch.delitem(sys.modules, "recsys.data.engines.duckdb")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ParamsError) as error:
        engines.load("duckdb")
    assert str(error.value) == "engine: duckdb needs the package duckdb: pip install '.[duckdb]'"


def test_an_unknown_engine_is_one_line_with_the_choices(root: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({**content, "engine": "dask"}), encoding="utf-8")
    with pytest.raises(ParamsError, match=r"engine: Input should be 'local'.*found 'dask'") as error:
        settings.load(path)
    assert "\n" not in str(error.value)


def test_what_the_engine_itself_cannot_do_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="engine: duckdb: ") as error:
        duckdb.ordered(tmp_path / "events.parquet", pl.Series(["a"]), tmp_path)
    assert "\n" not in str(error.value)
