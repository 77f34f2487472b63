"""Has a file changed? One `stat`, so that a worker can ask twice a second."""

from pathlib import Path

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """Another value after every change of the file, also when it was replaced by a rename; None when it is absent."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
