"""Outputs that are either complete or absent: written aside, then renamed. Arrays are memory-mapped, never
unpickled.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place when the block ends; on an error the old one stays."""
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def write_text(path: Path, content: str) -> None:
    """Write a text file, and the folders above it, so that a reader finds the old or the new content."""
    aside = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.write_text(content, encoding="utf-8")
    aside.replace(path)


def read_array(path: Path) -> Any:
    """The array in a file; its pages are shared by all processes of a machine. An empty one has none and is read."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:
        array = np.load(path, allow_pickle=False)
        if array.size:
            raise
        return array
