"""Writes files and folders under a temporary name and renames them, so that an output is complete or absent. Reads
arrays memory-mapped, and never unpickles.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jinja2 import Environment


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place when the block ends; on an error the old one stays. If
    the process is killed, the old or the new folder is complete, and the next call deletes what is left over."""
    aside, before = (folder.with_name(f"{folder.name}.{suffix}") for suffix in ("partial", "replaced"))
    if before.exists() and not folder.exists():  # killed between the two renames
        before.rename(folder)
    for left_over in (aside, before):
        shutil.rmtree(left_over, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    if folder.exists():
        folder.rename(before)
    aside.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


@contextmanager
def replaced_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; when the block ends, that file replaces `path`. A reader sees the old or
    the new content; on an error the old one stays. durable: sync the file to disk first, against power cuts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.partial")
    try:
        yield aside
        if durable:
            _sync(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if durable:
        _sync(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder during the block; other processes that lock the folder wait, also on other machines."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_text(path: Path, content: str, durable: bool = False) -> None:
    """Write a text file with `replaced_file`, which also creates the folders above it."""
    with replaced_file(path, durable) as aside:
        aside.write_text(content, encoding="utf-8")


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def read_array(path: Path) -> Any:
    """Memory-map the array of a .npy file, so that all processes of a machine share its pages."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:  # an empty array cannot be mapped
        array = np.load(path, allow_pickle=False)
        if array.size:
            raise
        return array


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described_files(folder: Path) -> list[dict[str, Any]]:
    """Return path (relative to the folder), sha256 and size in bytes of every file in a folder, sorted by path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        {"path": path.relative_to(folder).as_posix(), "sha256": file_hash(path), "bytes": path.stat().st_size}
        for path in paths
    ]


def templates(folder: Path) -> "Environment":
    """Return a Jinja environment for the templates of a folder: unknown names are errors, values in HTML escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # code that only reads a bundle needs no jinja2

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
