"""Items that arrive after training become searchable at once: features -> tower -> vector -> index, without training.

    extended = new_items.add(bundle, items)     # a new bundle in memory; the one given stays as it is

Only models that know content give an arriving item a vector (`recsys/item_tower.py`); for the others it does not exist
until the next training. The files of the bundle are not touched.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl

from recsys import embeddings, item_tower
from recsys.bundle import Bundle, LoadedModel
from recsys.catalogue import Catalogue
from recsys.contracts import Embeddings, FloatArray, IntArray
from recsys.errors import DataError
from recsys.histories import epoch_seconds
from recsys.ids import IdTable
from recsys.index import Index
from recsys.similar import Similar


def add(bundle: Bundle, items: pl.DataFrame) -> Bundle:
    """The bundle with these items behind its own, in their order.

    items: item_id, title, text, categories, price, available, first_seen, as `recsys/splits.py` describes them.

    Raises:
        DataError: "items: item_id 'lamp' is in the catalogue already: send only new items"
        DataError: "items: item_id 'lamp' comes twice: send every item once"
    """
    known = [item_id for item_id in items["item_id"] if bundle.catalogue.ids.position(item_id) is not None]
    if known:
        raise DataError(f"items: item_id {known[0]!r} is in the catalogue already: send only new items")
    if twice := items.filter(pl.col("item_id").is_duplicated())["item_id"].to_list():
        raise DataError(f"items: item_id {twice[0]!r} comes twice: send every item once")
    rows = np.arange(items.height, dtype=np.int32) + np.int32(len(bundle.catalogue))
    models = {name: _with_items(model, items, rows) for name, model in bundle.models.items()}
    return replace(bundle, catalogue=_with_rows(bundle.catalogue, items, rows), models=models)


class MoreIds(IdTable):
    """A table of ids with some more behind it."""

    def __init__(self, table: IdTable, more: Iterable[str]) -> None:
        self._table = table
        self._more = list(more)
        self._place = {item_id: len(table) + at for at, item_id in enumerate(self._more)}

    def __len__(self) -> int:
        return len(self._table) + len(self._more)

    def position(self, external_id: str) -> int | None:
        place = self._place.get(external_id)
        return self._table.position(external_id) if place is None else place

    def external_id(self, position: int) -> str:
        before = len(self._table)
        return self._more[position - before] if position >= before else self._table.external_id(position)


class MoreItems(Index):
    """An index and a few more items, which are compared one by one."""

    def __init__(self, index: Index, vectors: FloatArray, rows: IntArray) -> None:
        self._base = index
        self._more = vectors
        self._more_rows = rows
        self.report = index.report

    def search(self, vector: FloatArray, n: int) -> tuple[IntArray, FloatArray]:
        found, scores = self._base.search(vector, n)
        rows = np.concatenate([found, self._more_rows])
        scores = np.concatenate([scores, self._more @ vector])
        best = np.argsort(-scores, kind="stable")[:n]
        return rows[best], scores[best]


def _with_rows(catalogue: Catalogue, items: pl.DataFrame, rows: IntArray) -> Catalogue:
    """Nobody has met the new items yet."""
    nobody = np.zeros(len(rows), dtype=np.float32)
    added = items.with_columns(row=rows, popularity=nobody, recent=nobody).select(catalogue.frame.columns)
    return Catalogue(
        frame=pl.concat([catalogue.frame, added.cast(catalogue.frame.schema)]),
        ids=MoreIds(catalogue.ids, items["item_id"]),
        popularity=np.concatenate([catalogue.popularity, nobody]),
        recent=np.concatenate([catalogue.recent, nobody]),
        available=np.concatenate([catalogue.available, items["available"].to_numpy()]),
        first_seen=np.concatenate([catalogue.first_seen, epoch_seconds(items["first_seen"])]),
    )


def _with_items(model: LoadedModel, items: pl.DataFrame, rows: IntArray) -> LoadedModel:
    old = model.embeddings
    tower = item_tower.of(old)
    added = tower.embed(items) if tower else np.zeros((len(rows), old.vectors.shape[1]), dtype=np.float32)
    placed = added.any(axis=1)
    arrays = dict(old.arrays)
    if tower:
        arrays["told"] = np.concatenate([arrays["told"], np.full(len(rows), tower.told, dtype=np.float32)])
    new = Embeddings(
        vectors=np.concatenate([old.vectors, added]),
        rows=np.concatenate([old.rows, rows[placed]]),
        encoder=old.encoder,
        params=old.params,
        arrays=arrays,
    )
    index = MoreItems(model.index, added[placed], rows[placed]) if placed.any() else model.index
    return LoadedModel(new, embeddings.encoder_of(new), index, Similar(new))
