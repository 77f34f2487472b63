"""The code of an earlier commit."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from benchmarks.provenance import TOP


def extracted(commit: str, folder: Path) -> Path:
    """`folder`, with the files of the commit in it."""
    archive = subprocess.run(["git", "archive", commit], cwd=TOP, check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as opened:
        opened.extractall(folder, filter="data")
    return folder
