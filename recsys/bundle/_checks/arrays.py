"""Declares dtype, shape and range of every array of a bundle, and checks them.

A bundle with correct hashes may still come from a faulty program or an attacker. An array that differs from its
declaration would fail at some request, or show wrong items.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle.embeddings import PAIRS
from recsys.bundle.id_table import IdTable
from recsys.contracts import HALF_LIVES_DAYS
from recsys.errors import BundleError
from recsys.output import read_array

LARGEST = 1e15  # largest float: its square times a thousand dimensions still fits into a float32
REBUILD = "build the bundle again with `dvc repro`"


@dataclass(frozen=True)
class ArraySpec:
    """The declaration of one array. shape: one name per dimension; equal names in a folder are equal sizes, and
    "users+1" is the size "users" plus 1; None: any shape. least: the smallest value allowed; nan: whether NaN is
    allowed; below: the name of a size, if the values must be in [0, size); ascending: no value is less than the one
    before it; unique: no value occurs twice; into: the name of a size, if the values are offsets from 0 to it."""

    dtype: str
    shape: tuple[str, ...] | None
    least: float = -LARGEST
    nan: bool = False
    below: str | None = None
    ascending: bool = False
    unique: bool = False
    into: str | None = None


def _ids(size: str) -> dict[str, ArraySpec]:
    return {
        "hashes": ArraySpec("uint64", (size,), ascending=True),
        "positions": ArraySpec("int32", (size,), below=size),
        "offsets": ArraySpec("int64", (f"{size}+1",), into="bytes"),
        "text": ArraySpec("uint8", ("bytes",)),
    }


# The first pattern that matches is used. `items` and `users` are counts of the manifest, other sizes are per folder.
ARRAYS: dict[str, ArraySpec] = {
    **{f"items/{name}": wanted for name, wanted in _ids("items").items()},
    **{f"histories/users/{name}": wanted for name, wanted in _ids("users").items()},
    "histories/offsets": ArraySpec("int64", ("users+1",), into="events"),
    "histories/rows": ArraySpec("int32", ("events",), below="items"),
    "histories/weights": ArraySpec("float32", ("events",)),
    "histories/times": ArraySpec("float64", ("events",)),
    "demand": ArraySpec("float32", ("items", "half-lives"), least=0),
    "gap_days": ArraySpec("float32", ("items",), least=0, nan=True),
    "pairs/*/indptr": ArraySpec("int64", ("items+1",), into="pairs"),
    "pairs/*/rows": ArraySpec("int32", ("pairs",), below="items"),
    "pairs/*/scores": ArraySpec("float32", ("pairs",)),
    "models/*/vectors": ArraySpec("float32", ("items", "dim")),
    "models/*/rows": ArraySpec("int32", ("known",), below="items", ascending=True, unique=True),
    "models/*/gram": ArraySpec("float32", ("dim", "dim")),
    "models/*/told": ArraySpec("float32", ("items",)),
    "models/*/word_idf": ArraySpec("float32", ("words",)),
    "models/*/category_idf": ArraySpec("float32", ("categories",)),
    "models/*/prices": ArraySpec("float32", ("prices",), ascending=True),
    "models/*/hidden_terms": ArraySpec("float32", ("terms", "hidden")),
    "models/*/hidden_static": ArraySpec("float32", ("static", "hidden")),
    "models/*/brought": ArraySpec("float32", ("items", "dense")),
    "models/*/brought_mean": ArraySpec("float32", ("dense",)),
    "models/*/brought_weights": ArraySpec("float32", ("dense", "dim")),
    "models/*/hidden_bias": ArraySpec("float32", ("hidden",)),
    "models/*/output_weights": ArraySpec("float32", ("hidden", "dim")),
    "models/*/output_bias": ArraySpec("float32", ("dim",)),
    "models/*/reference_counts": ArraySpec("float32", ("references",)),
    "models/*/reference_columns": ArraySpec("float32", ("reference words",), below="words"),
    "models/*/reference_values": ArraySpec("float32", ("reference words",)),
    "models/*/reference_vectors": ArraySpec("float32", ("references", "dim")),
    "models/*/*": ArraySpec("float32", None),  # arrays of a custom encoder
}


def check(folder: Path, n_items: int, n_users: int) -> None:
    """Check every array file of a bundle. n_items, n_users: the counts in its manifest.

    Raises:
        BundleError: "bundle/histories/rows.npy: its values are from 0 to 24, expected 0 to 23; build the bundle ..."
    """
    sizes_of: dict[Path, dict[str, int]] = {}
    paths = sorted(folder.rglob("*.npy"))
    # bounds refer to sizes of other arrays: arrays without bounds come first
    for path in sorted(paths, key=lambda path: _wanted(folder, path).below is not None):
        known = {"items": n_items, "users": n_users, "half-lives": len(HALF_LIVES_DAYS)}
        sizes = sizes_of.setdefault(path.parent, known)
        try:
            array = read_array(path)
        except (OSError, ValueError, EOFError) as error:
            raise BundleError(f"{path}: not a readable array ({error}); {REBUILD}") from error
        if fault := _fault(array, _wanted(folder, path), sizes):
            raise BundleError(f"{path}: {fault}; {REBUILD}")
    for table in (folder / "items", folder / "histories" / "users"):
        _check_texts(table)


def _wanted(folder: Path, path: Path) -> ArraySpec:
    name = path.relative_to(folder).with_suffix("").as_posix()
    if path.with_name(PAIRS).is_file():
        name = name.replace("models/", "pairs/", 1)
    for pattern, wanted in ARRAYS.items():
        if fnmatch(name, pattern):
            return wanted
    raise BundleError(f"{path}: no array of a bundle has this name; {REBUILD}")


def _fault(array: Any, wanted: ArraySpec, sizes: dict[str, int]) -> str | None:
    """Return the fault of an array as text, None if it is valid; add the sizes that it defines to `sizes`."""
    if array.dtype != np.dtype(wanted.dtype):
        return f"its dtype is {array.dtype}, expected {wanted.dtype}"
    if wanted.shape is not None:
        if array.ndim != len(wanted.shape):
            return f"it has {array.ndim} dimensions, expected {len(wanted.shape)}"
        for name, size in zip(wanted.shape, array.shape, strict=True):
            plain, more, _ = name.partition("+1")
            if size - bool(more) != sizes.setdefault(plain, size - bool(more)):
                return f"it has {size} {plain}, expected {sizes[plain] + bool(more)}"
    return _value_fault(array, wanted, sizes) if array.size else None


def _value_fault(array: Any, wanted: ArraySpec, sizes: dict[str, int]) -> str | None:
    most = LARGEST if wanted.below is None else sizes.get(wanted.below, 0) - 1
    least = wanted.least if wanted.below is None else 0
    if wanted.nan:
        array = array[~np.isnan(array)]
    low, high = (array.min(), array.max()) if array.size else (most, most)
    if array.dtype.kind != "u" and not (low >= least and high <= most):  # NaN fails both
        return f"its values are from {low:g} to {high:g}, expected {least:g} to {most:g}"
    if (wanted.ascending or wanted.into is not None) and bool((array[1:] < array[:-1]).any()):
        return "its values do not ascend"
    if wanted.unique and bool((array[1:] == array[:-1]).any()):
        return f"holds the value {array[1:][array[1:] == array[:-1]][0]} twice"
    if wanted.into is not None:
        end = sizes.setdefault(wanted.into, int(array[-1]))
        if array[0] != 0 or array[-1] != end:
            return f"its offsets go from {array[0]} to {array[-1]}, expected 0 to {end}"
    return None


def _check_texts(folder: Path) -> None:
    """Check an id table: every id is valid UTF-8 by itself, every position occurs once, and every id can be found."""
    text, offsets, positions = (read_array(folder / f"{name}.npy") for name in ("text", "offsets", "positions"))
    try:
        text.tobytes().decode()
    except ValueError as error:
        raise BundleError(f"{folder / 'text.npy'}: not UTF-8 ({error}); {REBUILD}") from error
    starts = offsets[:-1][offsets[:-1] < len(text)]
    if bool((text[starts] & 0xC0 == 0x80).any()):
        raise BundleError(f"{folder / 'offsets.npy'}: an offset lies inside a UTF-8 character; {REBUILD}")
    if len(np.unique(positions)) != len(positions):
        raise BundleError(f"{folder / 'positions.npy'}: a position occurs twice; {REBUILD}")
    if not IdTable(folder).finds_all():
        raise BundleError(f"{folder}: its files do not belong together, some ids cannot be found by hash; {REBUILD}")
