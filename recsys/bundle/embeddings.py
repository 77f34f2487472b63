"""Writes and reads models as plain arrays and one JSON file, so that reading needs no training library.

vectors.npy   (n_items, dim) float32        rows.npy       (n_known,) int32
<array>.npy   the encoder's arrays          encoder.json   {"encoder": name, "params": {...}, "arrays": [names]}

A model of item pairs (`ItemItem`) has these files instead:
indptr.npy (n_items + 1,) int64    rows.npy (n_pairs,) int32    scores.npy (n_pairs,) float32    item_item.json  params
"""

import importlib
import json
from pathlib import Path

import numpy as np

from recsys.contracts import EMPTY_HISTORY, Embeddings, Encoder, ItemItem
from recsys.encoders import item_item
from recsys.errors import BundleError
from recsys.output import read_array

PAIRS = "item_item.json"


def save(embeddings: Embeddings, folder: Path) -> None:
    """Write a model with vectors into a folder; existing files of the same names are overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "vectors.npy", np.ascontiguousarray(embeddings.vectors, dtype=np.float32))
    np.save(folder / "rows.npy", np.ascontiguousarray(embeddings.rows, dtype=np.int32))
    for name, array in embeddings.arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array, dtype=np.float32))
    description = {
        "encoder": embeddings.encoder,
        "params": dict(embeddings.params),
        "arrays": sorted(embeddings.arrays),
    }
    (folder / "encoder.json").write_text(json.dumps(description, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path) -> Embeddings:
    """Read a model with vectors; arrays are memory-mapped, so that processes on one machine share the pages.

    Raises:
        BundleError: "models/als: not a readable model (...); run `dvc repro` to write it again"
    """
    try:
        description = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        if odd := [name for name in description["arrays"] if not name.isidentifier()]:
            raise ValueError(f"encoder.json names the array {odd[0]!r}, expected a name of letters, digits and _")
        named = {name: read_array(folder / f"{name}.npy") for name in description["arrays"]}
        vectors, rows = read_array(folder / "vectors.npy"), read_array(folder / "rows.npy")
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{folder}: not a readable model ({error}); run `dvc repro` to write it again") from error
    return Embeddings(vectors, rows, description["encoder"], description["params"], named)


def encoder_of(embeddings: Embeddings) -> Encoder:
    """Build the encoder whose name is in the embeddings.

    Raises:
        BundleError: "encoder 'a': no file recsys/encoders/a.py; ..."
    """
    try:
        module = importlib.import_module(f"recsys.encoders.{embeddings.encoder}")
    except ModuleNotFoundError as error:
        name = embeddings.encoder
        raise BundleError(
            f"encoder {name!r}: no file recsys/encoders/{name}.py; use the version of the code that wrote the model"
        ) from error
    encoder: Encoder = module.build(embeddings.vectors, embeddings.params, embeddings.arrays)
    return encoder


def save_pairs(model: ItemItem, folder: Path) -> None:
    """Write a model of item pairs into a folder; existing files of the same names are overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "indptr.npy", model.indptr.astype(np.int64))
    np.save(folder / "rows.npy", model.rows.astype(np.int32))
    np.save(folder / "scores.npy", model.scores.astype(np.float32))
    (folder / PAIRS).write_text(json.dumps(dict(model.params), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_pairs(folder: Path) -> ItemItem:
    """Read a model of item pairs; arrays are memory-mapped.

    Raises:
        BundleError: "models/ease: not a readable model (...); run `dvc repro` to write it again"
    """
    try:
        params = json.loads((folder / PAIRS).read_text(encoding="utf-8"))
        indptr, rows, values = (read_array(folder / f"{name}.npy") for name in ("indptr", "rows", "scores"))
        if not len(rows) == len(values) == int(indptr[-1]):
            sizes = f"rows.npy has {len(rows)} values, scores.npy {len(values)}, and indptr.npy ends at {indptr[-1]}"
            raise ValueError(f"{sizes}; expected three equal numbers")
        model = ItemItem(indptr, rows, values, params)
        item_item.history_weights(model, EMPTY_HISTORY, 0.0)  # raises if params are incomplete
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise BundleError(f"{folder}: not a readable model ({error}); run `dvc repro` to write it again") from error
    return model
