"""Detects a changed file by one cheap call of `stat`, so that a worker can check twice a second."""

from pathlib import Path

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """Return (modification time in ns, inode, bytes), which change with the file; None if the file is absent."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
