"""A bundle: one folder with everything the online path needs, described and hashed by one manifest.

    manifest.json       bundle_id, data set, trained_until, counts, models, variants, metrics, and each file's hash
    catalogue.parquet   items in row order, with popularity      items/      item ids <-> rows
    demand.npy          decayed likes, at several half-lives     gap_days.npy  days from a user's like of an item to the
                                                                 next one, median per item
    histories/          user id -> the user's events             models/<m>/ vectors, encoder, index; or pairs of items
    rankers/<r>/        learned rankers: trees as text, and their settings
    calibration.json    curves from scores to probabilities, if they were fitted
    reference.json      counts of the bundle's answers to recently active users: the baseline of drift tests

A variant is a named way to compute a list: its sources, ranker and rules. A bundle holds no pickle, no time of writing
and no host name: the same input gives the same bundle_id on every machine.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import AwareDatetime, Field

from recsys.bundle import calibration, catalogue, embeddings, histories
from recsys.bundle._checks import arrays
from recsys.bundle._checks import catalogue as catalogue_check
from recsys.bundle._checks import index as index_check
from recsys.bundle.calibration import Calibration
from recsys.bundle.catalogue import Catalogue
from recsys.bundle.histories import Histories
from recsys.bundle.index import INDEX, Index, Similar
from recsys.contracts import Embeddings, Encoder, ItemItem
from recsys.errors import BundleError, ParamsError, RecsysError, one_line, quoted
from recsys.output import described_files, file_hash, replaced
from recsys.params import Params, Section, VariantParams, parse

FolderName = Annotated[str, Field(pattern=r"^[\w-]+$")]

FORMAT = 1
UNTRUSTED = "the bundle is not used; get it again from a source that you trust"
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"  # of the manifest, see recsys/bundle/signing.py; optional, not listed in the manifest


class File(Section):
    """One file of the bundle: path relative to the manifest, hash, size in bytes."""

    path: str
    sha256: str
    bytes: int


class Manifest(Section):
    """The content of `manifest.json`."""

    format: int
    bundle_id: str
    dataset: str
    trained_until: AwareDatetime
    counts: dict[str, int]
    models: dict[FolderName, dict[str, Any]]
    item_items: dict[FolderName, dict[str, Any]] = Field(default_factory=dict)  # absent in the oldest bundles
    variants: dict[str, VariantParams]
    default_variant: str
    event_weights: dict[str, float]
    allow_repeat: bool
    data_hash: str | None = None  # hash of the split that the bundle was trained on; absent in older bundles
    warm_events: int = 5  # events from which a user is in the segment `warm`; the default is for older bundles
    recent_half_life_days: float = Field(gt=0)
    # settings of the ranker `recency` and of the source `repeat`; the defaults are for older bundles
    smoothing: float = 20.0
    repeat_half_life_days: float = 180.0
    metrics: dict[str, Any]
    files: list[File]


@dataclass(frozen=True)
class LoadedModel:
    """A model as it is served, without its training library: item vectors, encoder and index."""

    embeddings: Embeddings
    encoder: Encoder
    index: Index
    similar: Similar


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle, never changed. By name: models (with vectors), item_items (models of item pairs) and rankers."""

    manifest: Manifest
    catalogue: Catalogue
    histories: Histories
    models: Mapping[str, LoadedModel]
    item_items: Mapping[str, ItemItem] = field(default_factory=dict)
    calibration: Calibration | None = None
    rankers: Mapping[str, Path] = field(default_factory=dict)  # the folders of the learned rankers


@dataclass(frozen=True)
class Parts:
    """The input of `write`: the interactions of one fold, its catalogue and users, and the folders of the models.
    interactions, catalogue and users: tables as in `recsys/data/split.py`; now: the end of the fold in UTC seconds;
    models: a model's name -> (model folder, index folder); calibration: the file that `recsys/bundle/calibration.py`
    wrote; rankers: a learned ranker's name -> its folder; data_hash: what `hash_of` returns for the folder of the
    split; reference: the folder that `recsys/drift/reference.py` wrote. None leaves the part out of the bundle."""

    interactions: pl.DataFrame
    catalogue: pl.DataFrame
    users: pl.DataFrame
    now: float
    models: Mapping[str, tuple[Path, Path]]
    calibration: Path | None = None
    rankers: Mapping[str, Path] = field(default_factory=dict)
    data_hash: str | None = None
    reference: Path | None = None


def write(
    parts: Parts, params: Params, metrics: Mapping[str, Any], out: Path, default_variant: str | None = None
) -> Manifest:
    """Write a bundle into the folder `out` and return its manifest; an old bundle there stays until it is complete.

    metrics: copied into the manifest; default_variant: by default the first of the setting `release_candidates`.

    Raises:
        BundleError: "models/all/als: no such folder; run `dvc repro`"
    """
    with replaced(out) as aside:
        (aside / "histories").mkdir()
        shown = parts.catalogue.drop("vector", strict=False)  # the content model has its own copy
        counted = catalogue.with_popularity(shown, parts.interactions, parts.now, params.data.recent_half_life_days)
        catalogue.write(counted, aside)
        catalogue.write_demand(parts.interactions, parts.now, counted.height, aside)
        histories.write(parts.interactions, parts.users, aside / "histories")
        if parts.calibration is not None:
            calibration.load(parts.calibration).save(aside / calibration.FILE)
        if parts.reference is not None:
            _copy(parts.reference, aside)
        described = {name: _add_model(folders, aside / "models" / name) for name, folders in parts.models.items()}
        for name, folder in parts.rankers.items():
            _copy(folder, aside / "rankers" / name)
        content: dict[str, Any] = {
            "format": FORMAT,
            "dataset": params.dataset,
            "trained_until": datetime.fromtimestamp(parts.now, tz=UTC).isoformat(),
            "counts": {"items": counted.height, "users": parts.users.height, "interactions": parts.interactions.height},
            "models": {name: about for name, about in described.items() if "n_pairs" not in about},
            "item_items": {name: about for name, about in described.items() if "n_pairs" in about},
            "variants": {name: variant.model_dump() for name, variant in params.variants.items()},
            "default_variant": default_variant or params.candidates[0],
            "event_weights": params.data.event_weights,
            "allow_repeat": params.data.split.allow_repeat,
            "data_hash": parts.data_hash,
            "warm_events": params.evaluate.warm_events,
            "recent_half_life_days": params.data.recent_half_life_days,
            "metrics": dict(metrics),
            "files": described_files(aside),
        }
        for name in ("smoothing", "repeat_half_life_days"):
            if (value := getattr(params.data, name)) is not None:
                content[name] = value
        content["bundle_id"] = _digest(content)
        manifest = Manifest.model_validate(content)
        (aside / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return manifest


def verify(folder: Path) -> Manifest:
    """Check the manifest and every file's hash, and return the manifest; symbolic links and unlisted files are errors.

    Raises:
        BundleError: "bundle/catalogue.parquet: sha256 is 1f..., the manifest says 9a...; copy the bundle again"
    """
    manifest = read_manifest(folder)
    if links := [path for path in folder.rglob("*") if path.is_symlink()]:
        raise BundleError(
            f"{links[0]}: a symbolic link, a bundle holds plain files only; copy the bundle with `cp -r --dereference`"
        )
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if unlisted := there - {MANIFEST, SIGNATURE} - {file.path for file in manifest.files}:
        raise BundleError(
            f"{folder / min(unlisted)}: the manifest does not name this file; copy the bundle to an empty folder"
        )
    for file in manifest.files:
        path = folder / file.path
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{folder}/{MANIFEST}: {file.path!r} points outside of the bundle; {UNTRUSTED}")
        if not path.is_file():
            raise BundleError(f"{path}: named in the manifest but missing; copy the bundle again")
        if (found := file_hash(path)) != file.sha256:
            raise BundleError(
                f"{path}: sha256 is {found[:12]}..., the manifest says {file.sha256[:12]}...; copy the bundle again"
            )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest; check its format, and that bundle_id is the hash of its content.

    Raises:
        BundleError: "bundle/manifest.json: format is 2, this code reads 1; build the bundle again with `dvc repro`"
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not a readable manifest ({error}); {arrays.REBUILD}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else content
        raise BundleError(f"{path}: format is {found!r}, this code reads {FORMAT}; {arrays.REBUILD}")
    try:
        manifest = parse(Manifest, content, str(path))
    except ParamsError as error:
        raise BundleError(str(error)) from error
    if _digest(content) != manifest.bundle_id:
        raise BundleError(
            f"{path}: its content does not match its bundle_id {manifest.bundle_id!r}, so it was changed or damaged "
            f"after it was written; copy the bundle again, or {arrays.REBUILD}"
        )
    return manifest


def load(folder: Path) -> Bundle:
    """Verify a bundle, open it and check its arrays and tables; arrays are memory-mapped.

    Raises:
        BundleError: "bundle/demand.npy: its values are from -1 to 24, expected 0 to 1e+15; ...", or one of `verify`.
    """
    try:
        return _open(folder, verify(folder))
    except BundleError:
        raise
    except RecsysError as error:
        raise BundleError(str(error)) from error
    except BaseException as error:  # a file of the wrong shape fails anywhere; polars panics beyond Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        reason = f"{type(error).__name__}: {one_line(str(error))}"
        raise BundleError(f"{folder}: the bundle cannot be opened ({reason}); {arrays.REBUILD}") from error


def _open(folder: Path, manifest: Manifest) -> Bundle:
    n_items = manifest.counts.get("items", 0)
    arrays.check(folder, n_items, manifest.counts.get("users", 0))
    items = catalogue.load(folder)
    if fault := catalogue_check.fault(items, n_items):
        raise BundleError(f"{folder / 'catalogue.parquet'}: {fault}; {arrays.REBUILD}")
    models = {name: _open_model(folder / "models" / name, about) for name, about in manifest.models.items()}
    pairs = {name: embeddings.load_pairs(folder / "models" / name) for name in manifest.item_items}
    confidence = calibration.load(path) if (path := folder / calibration.FILE).is_file() else None
    rankers = {path.name: path for path in folder.glob("rankers/*")}
    return Bundle(manifest, items, Histories(folder / "histories"), models, pairs, confidence, rankers)


def _open_model(folder: Path, about: Mapping[str, Any]) -> LoadedModel:
    model = embeddings.load(folder)
    index = Index.load(folder, model.rows)
    if fault := index_check.fault(index.faiss_index, index.report, model.vectors[model.rows]):
        raise BundleError(f"{folder / INDEX}: {fault}; {arrays.REBUILD}")
    found = {"dim": model.vectors.shape[1], "encoder": model.encoder, "index": index.report.model_dump()}
    for key, value in found.items():
        if about.get(key) != value:
            fault = f"its {key} is {quoted(value)}, the manifest says {quoted(about.get(key))}"
            raise BundleError(f"{folder}: {fault}; {arrays.REBUILD}")
    return LoadedModel(model, embeddings.encoder_of(model), index, Similar(model))


def hash_of(folder: Path) -> str:
    """Return a hash of the names and contents of all files in a folder, 16 hex digits."""
    return _digest({"files": described_files(folder)})


def _add_model(folders: tuple[Path, Path], out: Path) -> dict[str, Any]:
    for folder in folders:
        _copy(folder, out)
    if (out / embeddings.PAIRS).is_file():
        pairs = embeddings.load_pairs(out)
        return {"n_pairs": len(pairs.rows), **pairs.params}
    model = embeddings.load(out)
    index = json.loads((out / "index.json").read_text(encoding="utf-8"))
    return {"dim": model.vectors.shape[1], "metric": "inner_product", "encoder": model.encoder, "index": index}


def _copy(folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder, a bundle needs it; run `dvc repro`")
    shutil.copytree(folder, out, dirs_exist_ok=True)


def _digest(content: Mapping[str, Any]) -> str:
    signed = {key: value for key, value in content.items() if key != "bundle_id"}
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()[:16]
