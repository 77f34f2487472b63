"""Data sets: one file here is one data set, named as its section under `datasets` in `params.yaml`.

An adapter offers three names, see `Adapter`. It translates and never judges: every raw row comes out, and `prepare` decides
what is kept. Files whose name starts with an underscore are not adapters.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

import polars as pl
from pydantic import BaseModel

from recsys.errors import ParamsError

REJECT = "reject"
RAW = "raw"


@dataclass(frozen=True)
class RawTables:
    """What an adapter read: canonical column names, but any dtype and any dirt, in a fixed order and no row left out.

    interactions: user_id, item_id, timestamp, event and, if known, value and weight (else filled from `event_weights`);
    items: item_id and, if known, title, text, categories, price, available, first_seen (missing ones get a neutral value).
    Values may have any dtype that can be cast to the canonical one (see `recsys/schema.py`); a value that cannot be cast
    rejects its row. Timestamps without a zone are UTC; numbers are microseconds since 1970.

    Two optional columns in either table: `reject`, str or null, the reason why the adapter itself refuses the row (like
    `cancelled`); `raw`, a struct with the row as it was found, which quarantine shows instead of the columns above.

    interactions_file and items_file name where the rows stood, for error messages. `latest` is the last moment an event can
    have happened, UTC; None means the moment at which `prepare` runs.
    """

    interactions: pl.LazyFrame
    items: pl.LazyFrame
    interactions_file: Path
    items_file: Path
    latest: datetime | None = None


class Adapter(Protocol):
    """The three names every file in this folder has.

    Config: pydantic model of the section `datasets.<name>.adapter`, frozen and closed to unknown keys.
    fetch: writes the raw files into the empty folder `out`; the same config and seed give the same bytes. Returns what to note about
        their origin, ready for JSON (`recsys.download.Found.provenance`), or None if the adapter made the data itself.
    tables: reads what `fetch` wrote. Both raise DataError with one line when they cannot.
    """

    Config: type[BaseModel]

    def fetch(self, config: Any, out: Path, seed: int) -> dict[str, Any] | None: ...

    def tables(self, config: Any, raw: Path) -> RawTables: ...


def names() -> list[str]:
    """The data sets there are, sorted."""
    return sorted(file.name for file in pkgutil.iter_modules(__path__) if not file.ispkg and not file.name.startswith("_"))


def load_adapter(name: str) -> Adapter:
    """Import `recsys/datasets/<name>.py`.

    Raises:
        ParamsError: "no data set 'shop': recsys/datasets holds files, movielens, ...; add recsys/datasets/shop.py or ..."
    """
    if name not in names():
        raise ParamsError(
            f"no data set {name!r}: recsys/datasets holds {', '.join(names())};"
            f" set `dataset` in params.yaml to one of these or add recsys/datasets/{name}.py"
        )
    return cast(Adapter, importlib.import_module(f"recsys.datasets.{name}"))
