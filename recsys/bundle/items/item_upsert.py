"""Adds items to a loaded bundle without training: features -> item tower -> vector -> index.

    changed = item_upsert.upsert(bundle, items)     # a new bundle in memory; `bundle` and its files do not change

Only content models compute a vector for a new item (`item_tower.py`), from its text and from the vector that is sent
with it; in other models it has none until the next training.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl

from recsys.bundle import catalogue, embeddings
from recsys.bundle.bundle import Bundle, LoadedModel
from recsys.bundle.catalogue import CONTENT, Catalogue, rows_by_category
from recsys.bundle.id_table import IdTable
from recsys.bundle.index import Index, Similar
from recsys.bundle.items import item_tower
from recsys.bundle.items.item_features import supplied_vectors
from recsys.contracts import NO_ROWS, FloatArray, IntArray, epoch_seconds
from recsys.errors import DataError
from recsys.ranking import top_k

VECTOR = {"vector": pl.Binary()}  # as of `packed_vector` in `recsys/schemas/field_limits.py`
COUNTED = ("row", "popularity", "recent", "liked_share")
COLUMNS = {name: dtype for name, dtype in catalogue.COLUMNS.items() if name not in COUNTED}
COLUMNS |= VECTOR
NOTHING = {"title": pl.col("item_id"), "text": pl.lit(""), "categories": pl.lit([]), "available": pl.lit(True)}


def upsert(bundle: Bundle, items: pl.DataFrame) -> Bundle:
    """Return a bundle with these items: existing ones are changed, new ones are appended in the order of `items`.

    items: some of the columns of `COLUMNS`. For an existing item null and absent columns keep the present value. By
    default, a new item is available and its title is its id. A `vector` of another length than those of the training
    has no effect. If the content of an existing item changed, the difference between its new and its old vector by the
    item tower is added to its vector.

    Raises:
        DataError: "items: item_id 'lamp' occurs twice: send every item once"
    """
    if twice := items.filter(pl.col("item_id").is_duplicated())["item_id"].to_list():
        raise DataError(f"items: item_id {twice[0]!r} occurs twice: send every item once")
    items = pl.concat([pl.DataFrame(schema=COLUMNS), items], how="diagonal_relaxed")
    before, content = bundle.catalogue, list(CONTENT)
    positions = [before.ids.position(item_id) for item_id in items["item_id"]]
    if "vector" not in before.frame.columns:
        items = _with_new_vectors_only(bundle, items, positions)
        if items["vector"].count():
            before = replace(before, frame=before.frame.with_columns(vector=pl.lit(None, VECTOR["vector"])))
    content += [name for name in VECTOR if name in before.frame.columns]
    known = pl.Series([position is not None for position in positions], dtype=pl.Boolean)
    rows = np.array([position for position in positions if position is not None], dtype=np.int32)
    after = _longer(_changed(before, items.filter(known), rows), items.filter(~known))
    _keep_orders(before, after, rows)
    content_changed = before.frame[rows].select(content).hash_rows() != after.frame[rows].select(content).hash_rows()
    rows = np.append(rows[content_changed.to_numpy()], np.arange(len(before), len(after), dtype=np.int32))
    if not len(rows):
        return replace(bundle, catalogue=after)
    models = {name: _with_vectors(model, before, after, rows) for name, model in bundle.models.items()}
    return replace(bundle, catalogue=after, models=models)


class ExtendedIdTable(IdTable):
    """An id table with more ids appended; they get the positions after those of the table."""

    def __init__(self, table: IdTable, more: Iterable[str]) -> None:
        before: list[str] = table._more if isinstance(table, ExtendedIdTable) else []
        self._table: IdTable = table._table if isinstance(table, ExtendedIdTable) else table
        self._more: list[str] = [*before, *more]
        self._added = {item_id: len(self._table) + at for at, item_id in enumerate(self._more)}

    def __len__(self) -> int:
        return len(self._table) + len(self._more)

    def position(self, external_id: str) -> int | None:
        position = self._added.get(external_id)
        return self._table.position(external_id) if position is None else position

    def external_id(self, position: int) -> str:
        before = len(self._table)
        return self._more[position - before] if position >= before else self._table.external_id(position)


class OverlaidIndex(Index):
    """An index with some items added or replaced. vectors: (m, dim) float32 and rows: (m,) int32 of these items. A
    search compares them one by one, and ignores what the index holds for the same rows."""

    def __init__(self, index: Index, vectors: FloatArray, rows: IntArray) -> None:
        if isinstance(index, OverlaidIndex):  # merge both, newest first, so that searches stay fast
            vectors, rows = np.concatenate([vectors, index._vectors]), np.concatenate([rows, index._rows])
            rows, first = np.unique(rows, return_index=True)
            index, vectors = index._base, vectors[first]
        self._base: Index = index
        self._vectors: FloatArray = vectors
        self._rows: IntArray = rows
        self._described = vectors.any(axis=1)  # an item without a vector is never found
        self.report = index.report

    def search(self, vector: FloatArray, n: int) -> tuple[IntArray, FloatArray]:
        found, scores = self._base.search(vector, n + len(self._rows))
        keep = np.isin(found, self._rows, invert=True)
        rows = np.concatenate([found[keep], self._rows[self._described]])
        scores = np.concatenate([scores[keep], self._vectors[self._described] @ vector])
        best = top_k(scores, n)
        return rows[best], scores[best]


def _with_new_vectors_only(bundle: Bundle, items: pl.DataFrame, positions: list[int | None]) -> pl.DataFrame:
    """Empty the vectors that the training knew, as most do that a store sends, and those that no model can use.
    positions: of the items in the catalogue."""
    arrays = next((each.embeddings.arrays for each in bundle.models.values() if item_tower.length_of(each)), None)
    if arrays is None:
        return items.with_columns(vector=pl.lit(None, VECTOR["vector"]))
    sent = supplied_vectors(items, arrays["brought_mean"])
    trained = len(arrays["brought"])
    rows = np.array([-1 if at is None or at >= trained else at for at in positions], dtype=np.int32)
    same = (rows >= 0) & np.isclose(sent, arrays["brought"][rows], atol=1e-6).all(axis=1)
    return items.with_columns(vector=pl.when(pl.Series(sent.any(axis=1) & ~same)).then("vector"))


def _changed(before: Catalogue, items: pl.DataFrame, rows: IntArray) -> Catalogue:
    if not len(rows):
        return before
    sent = items.select(name for name in before.frame.columns if name in COLUMNS and name != "item_id")
    sent = sent.with_columns(row=rows)
    sent = sent.cast({name: before.frame.schema[name] for name in sent.columns})
    frame = before.frame.update(sent, on="row", maintain_order="left")
    available, first_seen = frame["available"].to_numpy(), epoch_seconds(frame["first_seen"])
    return replace(before, frame=frame, available=available, first_seen=first_seen)


def _longer(before: Catalogue, items: pl.DataFrame) -> Catalogue:
    if not items.height:
        return before
    rows = np.arange(items.height, dtype=np.int32) + np.int32(len(before))
    nobody, unknown = (np.full(items.height, value, dtype=np.float32) for value in (0, np.nan))
    added = items.with_columns(pl.col(name).fill_null(value) for name, value in NOTHING.items())
    added = added.with_columns(row=rows, popularity=nobody, recent=nobody, liked_share=unknown)
    added = added.select(before.frame.columns)
    return Catalogue(
        frame=pl.concat([before.frame, added.cast(before.frame.schema)]),
        ids=ExtendedIdTable(before.ids, items["item_id"]),
        popularity=np.append(before.popularity, nobody),
        recent=np.append(before.recent, nobody),
        liked_share=np.append(before.liked_share, unknown),
        available=np.append(before.available, added["available"].to_numpy()),
        first_seen=np.append(before.first_seen, epoch_seconds(added["first_seen"])),
        demand=np.pad(before.demand, ((0, items.height), (0, 0))),
        gap_days=np.append(before.gap_days, unknown),
    )


def _keep_orders(before: Catalogue, after: Catalogue, rows: IntArray) -> None:
    """Give `after` what was computed from all items of `before`: no change of an item changes how popular it is, and
    new items, which nobody liked, come last. rows: of the changed items."""
    if after is before:
        return
    more = np.arange(len(before), len(after), dtype=np.int32)
    kept = {name: np.append(getattr(before, name), more) for name in ("by_popularity", "by_recent")}
    vars(after).update(kept)
    if after.frame["categories"][rows].equals(before.frame["categories"][rows]):
        added = rows_by_category(after.frame[more])
        of_category = before.of_category
        joined = {name: np.append(of_category.get(name, NO_ROWS), new) for name, new in added.items()}
        vars(after)["of_category"] = {**of_category, **joined}


def _with_vectors(model: LoadedModel, before: Catalogue, after: Catalogue, rows: IntArray) -> LoadedModel:
    """Return the model with new vectors for these rows of `after`; rows that `before` lacks are new items."""
    old, n_new = model.embeddings, len(after) - len(before)
    tower, known = item_tower.of(old), rows[rows < len(before)]
    if tower is not None:
        added, gone = tower.embed(after.frame[rows]), tower.embed(before.frame[known])
    if not n_new and (tower is None or np.array_equal(added, gone)):
        return model  # as after most changes of a price: a copy of all vectors would be for nothing
    # zeros where the model has no vector: histories may contain new items
    vectors = np.concatenate([old.vectors, np.zeros((n_new, old.vectors.shape[1]), dtype=np.float32)])
    if tower is None:
        longer = replace(old, vectors=vectors)
        return replace(model, embeddings=longer, encoder=embeddings.encoder_of(longer))
    vectors[rows] += added
    vectors[known] -= gone
    informativeness = np.append(old.arrays["told"], np.full(n_new, tower.informativeness, dtype=np.float32))
    placed = np.union1d(np.setdiff1d(old.rows, rows), rows[vectors[rows].any(axis=1)])
    new = replace(old, vectors=vectors, rows=placed, arrays={**old.arrays, "told": informativeness})
    index = OverlaidIndex(model.index, vectors[rows], rows)
    return LoadedModel(new, embeddings.encoder_of(new), index, Similar(new))
