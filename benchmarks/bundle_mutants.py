"""Tests that a broken bundle is refused when it is loaded: benchmarks/results/bundle_mutants.json

    python -m benchmarks.bundle_mutants                      2,000 mutants of the folder bundle
    python -m benchmarks.bundle_mutants 100 7 other/bundle   another number, seed and folder

Each mutant differs from the bundle in one place (bytes, an array's dtype, shape or values, a key or value of a JSON
file, a cell or column of the catalogue), and its manifest is written anew, so that all hashes fit. It must be refused
with a BundleError, or load, pass the self-check and answer. What stops the process that checks it (a signal, too much
memory) counts as refused: `recsys/recommend/self_check.py` checks in a process of its own.
"""

import json
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import provenance
from recsys.bundle import bundle
from recsys.errors import BundleError
from recsys.output import described_files
from recsys.recommend import self_check
from serving.api.schemas import Options, RecommendRequest, SimilarRequest
from serving.encoding import to_json
from serving.engine.engine import Engine
from serving.engine.overlay import StoreOverlay
from serving.stores.protocol import Item

MEASURES = ("recsys/bundle", "recsys/recommend/self_check.py")
ODD: tuple[Any, ...] = (None, -1, 0, 1e300, float("nan"), "text", [], {}, True, [None], 2**40, "../x")
MEMORY = 6 << 30
SECONDS = 60


def main(n: int = 2_000, seed: int = 0, folder: str = "bundle") -> dict[str, Any]:
    """Judge mutants seed, seed + 1, ...; each is made and opened in a process of its own."""
    origin = provenance.describe()
    outcomes: Counter[str] = Counter()
    bad: list[dict[str, Any]] = []
    for number in range(seed, seed + n):
        with tempfile.TemporaryDirectory() as place:
            outcome, about = judged(Path(folder), number, Path(place))
        outcomes[outcome] += 1
        if outcome == "failed":
            bad.append({"mutant": number, "about": about})
            print(f"mutant {number}: {about}", flush=True)
    found = {"mutants": n, "seed": seed, "outcomes": dict(sorted(outcomes.items())), "failed": bad}
    provenance.write("bundle_mutants", origin, found)
    print(json.dumps(found["outcomes"]))
    return found


def judged(folder: Path, number: int, place: Path) -> tuple[str, str]:
    """What became of one mutant, and how it was made and what it said."""
    notes = place / "notes"
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.dup2(os.open(place / "output", os.O_CREAT | os.O_WRONLY), 2)
        with notes.open("w", buffering=1) as said:
            try:
                _judge(folder, random.Random(number), place / "bundle", lambda line: said.write(f"{line}\n"))
            except BaseException:  # noqa: BLE001 (whatever it is, it is what is looked for)
                said.write(traceback.format_exc())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    about = notes.read_text(errors="replace")
    if os.WIFSIGNALED(status):
        return "failed" if "\nloaded\n" in about else "stopped", about
    for ending in ("answered", "refused"):
        if f"\n{ending}" in about:
            return ending, about
    return "failed", about


def _judge(folder: Path, draw: random.Random, place: Path, note: Callable[[str], Any]) -> None:
    shutil.copytree(folder, place)
    note(mutate(place, draw))
    try:
        loaded = bundle.load(place)
        self_check.check(loaded)
    except BundleError as error:
        note(f"refused: {error}")
        return
    note("loaded")
    _ask(loaded)
    note("answered")


def _ask(loaded: bundle.Bundle) -> None:
    """All that a worker does with a bundle, for a few users and items."""
    users, items = loaded.histories.users, loaded.catalogue.ids
    changed = {
        "new": Item("new", title="a new lamp", categories=("x",)),
        items.external_id(0): Item(items.external_id(0)),
    }
    for engine in (Engine(loaded, "0"), Engine(loaded, "0", StoreOverlay(1, 1, changed))):
        engine.about().model_dump_json()
        for variant in loaded.manifest.variants:
            for user in [None, *(users.external_id(at) for at in range(0, len(users), max(1, len(users) // 20)))]:
                request = RecommendRequest(
                    user_id=user, k=20, variant=variant, options=Options(explain=user is not None)
                )
                _whole(engine.recommend(request, "0"))
        for at in range(0, len(items), max(1, len(items) // 20)):
            _whole(engine.similar(SimilarRequest(item_id=items.external_id(at), k=20)))


def _whole(draft: Any) -> None:
    if draft.meta.failed:
        raise AssertionError(f"an answer without {draft.meta.failed}")
    json.loads(to_json([draft.items, draft.meta, draft.warnings]))
    if not all(np.isfinite(item.score) for item in draft.items):
        raise AssertionError("a score that is not finite")


def mutate(folder: Path, draw: random.Random) -> str:
    """Change one place of a bundle and write its manifest anew; says which."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    path = folder / draw.choice(names)
    ways = [_flip, _truncate, _remove]
    ways += {".npy": [_array] * 6, ".json": [_json] * 6, ".parquet": [_table] * 6}.get(path.suffix, [_flip] * 3)
    way = draw.choice(ways)
    if path.name == bundle.MANIFEST:
        way = _json
    said = way(path, draw)
    rehash(folder, anew=path.name != bundle.MANIFEST)
    return f"{path.relative_to(folder)}: {said}"


def rehash(folder: Path, anew: bool = True) -> None:
    """Make the hashes of the manifest fit what the folder holds; `anew`: also its list of files."""
    manifest = folder / bundle.MANIFEST
    content = json.loads(manifest.read_text())
    if anew:
        content["files"] = [file for file in described_files(folder) if file["path"] != manifest.name]
    content["bundle_id"] = bundle._digest(content)
    manifest.write_text(json.dumps(content))


def _flip(path: Path, draw: random.Random) -> str:
    content = bytearray(path.read_bytes())
    places = [draw.randrange(len(content)) if draw.random() < 0.5 else draw.randrange(min(256, len(content)))] * bool(
        content
    )
    for at in places:
        content[at] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"flipped a bit of {places}"


def _truncate(path: Path, draw: random.Random) -> str:
    size = draw.randrange(path.stat().st_size + 1)
    os.truncate(path, size)
    return f"cut to {size} bytes"


def _remove(path: Path, draw: random.Random) -> str:
    path.unlink()
    return "removed"


def _array(path: Path, draw: random.Random) -> str:
    array = np.array(np.load(path))
    way = draw.choice(["dtype", "shape", "shorter", "value", "order", "twice"])
    if way == "dtype":
        array = array.astype(draw.choice(["int8", "int64", "float32", "float64", "uint64", "U3", "complex64", "bool"]))
    elif way == "shape":
        array = draw.choice([array[None], array.reshape(-1), array[..., None], array.T])
    elif way == "shorter":
        array = array[: draw.randrange(len(array) + 1)]
    elif way == "twice":
        array = np.concatenate([array, array])
    elif way == "order":
        array = array[::-1]
    elif array.size:
        odd = [float("nan"), float("inf"), -1e38, 3e38, -1.0] if array.dtype.kind == "f" else [0, -1, len(array), 2**30]
        info = None if array.dtype.kind == "f" else np.iinfo(array.dtype)
        value = draw.choice(odd)
        array.flat[draw.randrange(array.size)] = value if info is None else min(max(value, info.min), info.max)
    np.save(path, array)
    return f"{way}, now {array.dtype} {array.shape}"


def _json(path: Path, draw: random.Random) -> str:
    content = json.loads(path.read_text())
    holders: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in children:
            if key not in ("files", "metrics"):
                holders.append((node, key))
                walk(value)

    walk(content)
    node, key = draw.choice(holders)
    if draw.random() < 0.5:
        said = f"removed {key!r}"
        del node[key]
    else:
        node[key] = odd = draw.choice(ODD)
        said = f"{key!r} is {odd!r}"
    path.write_text(json.dumps(content))
    return said


def _table(path: Path, draw: random.Random) -> str:
    frame = pl.read_parquet(path)
    name, row = draw.choice(frame.columns), draw.randrange(frame.height)
    way = draw.choice(["cast", "null", "drop", "shorter", "reverse", "twice", "value"])
    if way == "cast":
        to = draw.choice([pl.String, pl.Int64, pl.Float64, pl.Boolean])
        frame = frame.with_columns(
            pl.lit(None).cast(to).alias(name) if draw.random() < 0.5 else pl.lit(1).cast(to).alias(name)
        )
    elif way == "null":
        frame = frame.with_columns(pl.when(pl.int_range(pl.len()) != row).then(pl.col(name)).alias(name))
    elif way == "drop":
        frame = frame.drop(name)
    elif way == "shorter":
        frame = frame.head(row)
    elif way == "reverse":
        frame = frame.reverse()
    elif way == "twice":
        frame = pl.concat([frame, frame])
    else:
        odd = draw.choice([float("nan"), float("inf"), -1.0])
        number = draw.choice(["price", "popularity", "recent"])
        changed = pl.when(pl.int_range(pl.len()) == row).then(pl.lit(odd)).otherwise(pl.col(number))
        frame = frame.with_columns(changed.cast(frame.schema[number]))
    frame.write_parquet(path)
    return f"{way} {name} at {row}"


if __name__ == "__main__":
    count, start, place, *_ = [*sys.argv[1:], *["2000", "0", "bundle"][len(sys.argv) - 1 :]]
    sys.exit(bool(main(int(count), int(start), place)["failed"]))
