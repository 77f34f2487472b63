"""Computes an item's vector from its content, in numpy: the item tower of the content model.

    v = mean vector of the items with similar texts + W3 brought + W2 relu(W1 content + b1) + b2

where `brought` is the vector that the data supply for the item, see `supplied_vectors` in `item_features.py`: the one
of the training, or one that was sent since.

It reads the files of a fitted content model, so an item that arrives today gets a vector without training.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys.bundle.items.item_features import Features, Sparse, supplied_vectors
from recsys.contracts import Embeddings, FloatArray

if TYPE_CHECKING:
    from recsys.bundle.bundle import LoadedModel

POWER = 3
TINY = np.float32(1e-9)


class ItemTower:
    """The item tower of a fitted content model. params, arrays: as in the model's `Embeddings`. `informativeness`: the
    weight that the encoder gives to a like of a new item, see `recsys/encoders/content.py`."""

    def __init__(self, params: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> None:
        self.features = Features.load(params["features"], arrays)
        indptr = np.concatenate([[0], np.cumsum(arrays["reference_counts"])]).astype(np.int32)
        columns = arrays["reference_columns"].astype(np.int32)
        self._reference = Sparse(indptr, columns, arrays["reference_values"])
        self._reference_vectors = arrays["reference_vectors"]
        self._weights = arrays
        self.informativeness = float(params["told_of_new"])

    def embed(self, items: pl.DataFrame) -> FloatArray:
        """Compute the vectors of items, (n, dim) float32. items: title, text, categories, price, row, by which the
        vectors supplied for the training are looked up, and optionally `vector`, null or bytes, which replaces those;
        of another length it is ignored. An item without any word or category of the vocabularies, and without such a
        vector, gets zeros."""
        content = self.features.of(items)
        hidden = content.terms.dot(self._weights["hidden_terms"]) + self._weights["hidden_bias"]
        if content.static.shape[1]:
            hidden += content.static @ self._weights["hidden_static"]
        vectors: FloatArray = np.maximum(hidden, 0) @ self._weights["output_weights"] + self._weights["output_bias"]
        for row in range(items.height):
            vectors[row] += self._neighbours(content.words, row)
        described = content.described
        if (brought := self._weights.get("brought")) is not None:
            own = np.zeros((items.height, brought.shape[1]), dtype=np.float32)
            known = items["row"].to_numpy() < len(brought)  # an item that arrived after the training has none
            own[known] = brought[items["row"].to_numpy()[known]]
            if (mean := self._weights.get("brought_mean")) is not None:  # a bundle of before has none
                sent = supplied_vectors(items, mean)
                own = np.where(sent.any(axis=1, keepdims=True), sent, own)
            vectors += own @ self._weights["brought_weights"]
            described = described | own.any(axis=1)
        vectors[~described] = 0
        return vectors

    def _neighbours(self, words: Sparse, row: int) -> FloatArray:
        """Return the mean vector of the reference items, weighted by their similarity to the item in `row`: (dim,)."""
        target = np.zeros((len(self._weights["word_idf"]), 1), dtype=np.float32)
        mine = slice(words.indptr[row], words.indptr[row + 1])
        target[words.columns[mine], 0] = words.values[mine]
        weights = self._reference.dot(target)[:, 0] ** POWER
        mean: FloatArray = weights @ self._reference_vectors / (weights.sum() + TINY)
        return mean


def content_model(models: Mapping[str, "LoadedModel"]) -> str | None:
    """Return the name of the first content model, None if there is none. models: name -> model."""
    return next((name for name, model in models.items() if knows_content(model.embeddings)), None)


def length_of(model: "LoadedModel") -> int:
    """Return the length of the vectors that items brought along to the training of this model, 0 if it uses none."""
    return len(model.embeddings.arrays.get("brought_mean", ()))


def knows_content(embeddings: Embeddings) -> bool:
    """Return whether the model is a content model: one that computes an item's vector from its content."""
    return "features" in embeddings.params


def of(embeddings: Embeddings) -> ItemTower | None:
    """Return the item tower of a fitted content model, None for a model of another kind."""
    return ItemTower(embeddings.params, embeddings.arrays) if knows_content(embeddings) else None
