"""Detects a changed file by one `stat`, so that a worker can check twice a second."""

from pathlib import Path

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """Return a value that changes with the file, also when it is replaced by a rename; None if it is absent."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
