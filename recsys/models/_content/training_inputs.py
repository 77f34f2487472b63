"""The inputs of the content model's training as plain arrays, which several processes can read from one file."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.bundle.items.item_features import Sparse
from recsys.contracts import BoolArray, FloatArray


@dataclass(frozen=True)
class Settings:
    """The settings of one training, as explained in `Config` of `recsys/models/content.py`."""

    hidden: int
    epochs: int
    patience: int
    id_dropout: float
    negatives: int
    batch_users: int
    seed: int
    device: str
    checkpoint: str | None


@dataclass(frozen=True)
class TrainingInputs:
    """The inputs of one training over n items and m users; dim is the length of the vectors.

    terms: (n, n_terms), weights of words and other features; static: (n, 256) float32, embeddings of the texts, or (n,
    0), see `item_features.Content`; neighbours: (n, dim) float32, mean vectors of items with similar texts, plus
    the prediction of `ridge.py`; targets: (n, dim) float32, SVD vectors; pull: (n,) float32, their weights in the
    regression, 0 for items without likes; trust: (n,) float32 in [0, 1), the weight of the SVD vector against the
    tower's in an item's vector; informativeness: (n,) float32, see `recsys/encoders/content.py`; events: (m, n), the
    confidences of users in items.

    For validation on q users, 0 for none: asked: (q, n), their histories; wanted: (q, n), their next likes; hidden:
    (n,) bool, the items that are treated as new.
    """

    terms: Sparse
    n_terms: int
    static: FloatArray
    neighbours: FloatArray
    targets: FloatArray
    pull: FloatArray
    trust: FloatArray
    informativeness: FloatArray
    events: csr_matrix
    asked: csr_matrix
    wanted: csr_matrix
    hidden: BoolArray

    def save(self, path: Path) -> None:
        """Write all inputs to one .npz file."""
        np.savez(path, allow_pickle=False, **self._arrays())

    @classmethod
    def load(cls, path: Path) -> "TrainingInputs":
        """Read the inputs from a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        values: dict[str, Any] = {name: array for name, array in arrays.items() if "." not in name}
        values["n_terms"] = int(values["n_terms"])
        values["terms"] = Sparse(*(arrays[f"terms.{part}"] for part in ("indptr", "columns", "values")))
        for name in ("events", "asked", "wanted"):
            data, indices, indptr, shape = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr", "shape"))
            values[name] = csr_matrix((data, indices, indptr), shape=tuple(shape))
        return cls(**values)

    def fingerprint(self, settings: Settings) -> str:
        """Return a hash (sha256, hex) of the inputs and all settings but checkpoint, epochs and patience."""
        free = ("checkpoint", "epochs", "patience")
        plain = {name: value for name, value in asdict(settings).items() if name not in free}
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {}
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            parts: tuple[str, ...] = ()
            if isinstance(value, Sparse):
                parts = ("indptr", "columns", "values")
            elif isinstance(value, csr_matrix):
                parts = ("data", "indices", "indptr", "shape")
            else:
                arrays[name] = np.asarray(value)
            arrays |= {f"{name}.{part}": np.asarray(getattr(value, part)) for part in parts}
        return arrays
