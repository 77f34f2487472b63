"""Every file in recsys/datasets keeps the contract of `Adapter`; one that breaks it is named, with what to do."""

import inspect
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from recsys import datasets
from recsys.datasets import load_adapter
from recsys.errors import DataError, ParamsError, RecsysError
from recsys.params import extensions

NAMES = extensions.names("datasets")


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_has_settings_fetch_and_tables(name: str) -> None:
    adapter = load_adapter(name)
    assert issubclass(adapter.Config, BaseModel)
    assert adapter.Config.model_config["extra"] == "forbid"
    assert adapter.Config.model_config["frozen"]
    assert list(inspect.signature(adapter.fetch).parameters) == ["config", "out", "seed"]
    assert list(inspect.signature(adapter.tables).parameters) == ["config", "raw"]


@pytest.mark.parametrize("name", ["shop", "shop_world", "__init__", "../files", ""])
def test_an_unknown_data_set_is_an_error_that_lists_the_choices(name: str) -> None:
    with pytest.raises(ParamsError, match=f"there are: {', '.join(NAMES)}"):
        load_adapter(name)


SOUND = """
import polars as pl
from pathlib import Path
from pydantic import BaseModel
from recsys.data.raw_tables import RawTables
class Config(BaseModel): pass
def fetch(config, out, seed): (out / "a").touch()
def tables(config, raw): return RawTables(pl.LazyFrame(), pl.LazyFrame(), raw, raw)
"""
WRONG = {
    "def tables(config, raw) return 1": r"planted.py, line 9: not valid Python \(expected ':'\)",
    "del tables": r"recsys/datasets/planted.py: it has no 'tables'; see docs/extending.md",
    "def fetch(config, out, seed): pass": r"planted.py: fetch wrote no file; write the raw data into",
    "def fetch(config, out, seed): {}['dump']": r"planted.py, line 9: fetch raised KeyError: 'dump'; repair it",
    "def tables(config, raw): return {}": r"planted.py: tables returned a dict, expected RawTables; see",
    "def tables(config, raw): return RawTables(pl.DataFrame(), pl.LazyFrame(), raw, raw)": r"end it with .lazy\(\)",
    "def tables(config, raw): return RawTables(pl.LazyFrame(), None, raw, raw)": r"items is a NoneType, expected a",
    "def tables(config, raw): raise TypeError('a\\nb')": r"line 9: tables raised TypeError: a b; repair it",
}


def run(planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch and read the data set of this code."""
    (tmp_path / "code").mkdir()
    (tmp_path / "raw").mkdir()
    (tmp_path / "code" / "planted.py").write_text(SOUND + planted + "\n")
    monkeypatch.setattr(datasets, "__path__", [str(tmp_path / "code")])
    monkeypatch.delitem(sys.modules, "recsys.datasets.planted", raising=False)
    datasets.fetch("planted", None, tmp_path / "raw", 0)
    datasets.tables("planted", None, tmp_path / "raw")


@pytest.mark.parametrize("planted", WRONG)
def test_a_wrong_adapter_is_refused_with_its_file_and_a_cure(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecsysError, match=WRONG[planted]):
        run(planted, tmp_path, monkeypatch)


def test_a_sound_adapter_passes_and_what_it_raises_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("", tmp_path, monkeypatch)
    with pytest.raises(DataError, match=r"^the dump is empty$"):
        run(
            "from recsys.errors import DataError\ndef tables(config, raw): raise DataError('the dump is empty')",
            tmp_path / "raw",
            monkeypatch,
        )
