"""Adapters of data sets: each file is one, with the name of its section under `datasets` in `params.yaml`.

An adapter defines three names, see `recsys/data/raw_tables.py`. It returns all raw rows; `prepare` validates them.
Folders and files whose name starts with an underscore are not adapters.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import polars as pl

from recsys.data.raw_tables import Adapter, RawTables
from recsys.errors import DataError, ParamsError, RecsysError, one_line
from recsys.params import extensions

NAMES = ("Config", "fetch", "tables")


def load_adapter(name: str) -> Adapter:
    """Import `recsys/datasets/<name>.py`.

    Raises:
        ParamsError: "datasets 'shop': no file recsys/datasets/shop.py; there are: events, files, ..."
        ParamsError: "recsys/datasets/shop.py: it has no 'tables'; see docs/extending.md"
    """
    module = extensions.load("datasets", name)
    if missing := [each for each in NAMES if not hasattr(module, each)]:
        raise ParamsError(f"{_file(name)}: it has no {missing[0]!r}; see docs/extending.md")
    return cast(Adapter, module)


def fetch(name: str, config: Any, out: Path, seed: int) -> dict[str, Any] | None:
    """Call `fetch` of an adapter, see `Adapter`.

    Raises:
        DataError: "recsys/datasets/shop.py, line 12: fetch raised KeyError: 'dump'; ...", or what the adapter raises.
    """
    with _blamed(name, "fetch"):
        origin = load_adapter(name).fetch(config, out, seed)
    if not any(out.iterdir()):
        raise DataError(f"{_file(name)}: fetch wrote no file; write the raw data into the folder `out`")
    return origin


def tables(name: str, config: Any, raw: Path) -> RawTables:
    """Call `tables` of an adapter, see `Adapter`, and check the types of what it returns.

    Raises:
        DataError: "recsys/datasets/shop.py: tables returned a dict, expected RawTables; ...", or as `fetch`.
    """
    with _blamed(name, "tables"):
        found = load_adapter(name).tables(config, raw)
    if not isinstance(found, RawTables):
        kind = type(found).__name__
        raise DataError(f"{_file(name)}: tables returned a {kind}, expected RawTables; see docs/extending.md")
    for part in ("interactions", "items", "users", "vectors"):
        table = getattr(found, part)
        if not isinstance(table, pl.LazyFrame) and (table is not None or part in ("interactions", "items")):
            kind = type(table).__name__
            raise DataError(f"{_file(name)}: {part} is a {kind}, expected a LazyFrame; end it with .lazy()")
    return found


def _file(name: str) -> str:
    return f"recsys/datasets/{name}.py"


@contextmanager
def _blamed(name: str, function: str) -> Iterator[None]:
    """Turn an unexpected exception into one line that names the last line of the adapter's file that was run."""
    try:
        yield
    except RecsysError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).name == f"{name}.py"]
        place = f"{_file(name)}, line {lines[-1]}" if lines else _file(name)
        reason = f"{type(error).__name__}: {one_line(str(error))}"
        raise DataError(f"{place}: {function} raised {reason}; repair it, or raise a DataError with a cure") from error
