"""Keeps, in a private folder, verified copies of everything that this host serves; its workers can start from them.

A bundle is memory-mapped from its copy, so that damage to the release neither stops a worker nor changes an answer. The
copies of the rules, the experiments and the state of the store are used when a worker starts and cannot read these.
"""

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from recsys.bundle import releases
from recsys.bundle.bundle import Bundle, read_manifest
from recsys.bundle.shared import fetch
from recsys.errors import BundleError, ParamsError
from recsys.output import locked, replaced, write_text
from recsys.recommend import self_check
from serving import metrics
from serving.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT = 2  # newest copies of bundles that are kept even if no worker uses them
SERVED = "served"


class LastKnown:
    """Keeps the last valid copies on the disk of this host. using: names of the parts that are served from their copy
    now, because the original cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.last_known_folder
        self._public_key = settings.public_key
        self._open: WeakValueDictionary[str, Bundle] = WeakValueDictionary()
        self.using: set[str] = set()

    def use(self, part: str, now: bool) -> None:
        """Record whether a part ("release", "rules", "experiments", "store", "channel") is served from its copy now."""
        (self.using.add if now else self.using.discard)(part)
        metrics.LAST_KNOWN.labels(part).set(now)

    def bundle(self, source: Path | str) -> Bundle:
        """Load a bundle from its verified copy on this host; make the copy if there is none.

        source: a folder, or the address from which the bundle is fetched. If no copy can be made, as on a full disk,
        a folder is loaded directly.

        Raises:
            BundleError: there is no valid copy, and the bundle is damaged, not signed, or fails its self-check.
        """
        name = str(source).rpartition("/")[2]
        bundle_id = name if releases.is_id(name) else read_manifest(Path(source)).bundle_id
        try:
            loaded = self._copied(source, self._private() / bundle_id)
        except OSError as error:
            if isinstance(source, str):
                raise BundleError(f"{source}: cannot make a copy on this host: {error}") from error
            log.error("cannot copy bundle %s, so it is served from its folder: %s", bundle_id, error)
            self_check.check_apart(source)
            loaded = releases.load(source, self._public_key)
        self_check.check(loaded)
        self._open[bundle_id] = loaded
        return loaded

    def served(self) -> str | None:
        """Return the id of the bundle that was served last on this host, or None."""
        with suppress(OSError):
            bundle_id = (self._folder / SERVED).read_text(encoding="utf-8")
            return bundle_id if releases.is_id(bundle_id) else None
        return None

    def keep(self, name: str, content: str) -> None:
        """Write a copy of a text under this name; if that fails, log an error and leave the earlier copy."""
        try:
            path = self._private() / name
            with locked(self._folder):
                write_text(path, content)
        except OSError as error:
            log.error("cannot write the copy of %s on this host: %s", name, error)

    def path(self, name: str) -> Path:
        return self._folder / name

    def read_file(self, part: str, path: Path, read: Callable[[Path], T]) -> tuple[T, str | None]:
        """Read a file that a person writes, or its last valid copy. part: name of the copy; read: parses the file.

        Return the parsed content and None or, if the file is invalid, the content of the copy and the file's error.

        Raises:
            ParamsError: the file is invalid, and there is no valid copy.
        """
        try:
            found = read(path)
        except ParamsError as error:
            if not self.path(part).is_file():
                raise
            kept = read(self.path(part))
            self.use(part, True)
            log.error("%s; using the last valid copy of this host", error)
            return kept, str(error)
        self.use(part, False)
        if path.is_file():
            self.keep(part, path.read_text(encoding="utf-8"))
        return found, None

    def _copied(self, source: Path | str, target: Path) -> Bundle:
        with suppress(BundleError):
            return releases.load(target, self._public_key)
        with locked(self._folder):
            with suppress(BundleError):  # another worker may have made the copy meanwhile
                return releases.load(target, self._public_key)
            if isinstance(source, Path):
                releases.verify(source, self._public_key)
            with replaced(target) as aside:
                if isinstance(source, Path):
                    shutil.copytree(source, aside, dirs_exist_ok=True, copy_function=shutil.copyfile)
                else:
                    fetch(source, aside, self._public_key)
                try:
                    self_check.check_apart(aside)
                except BundleError as error:
                    raise BundleError(str(error).replace(str(aside), str(source))) from None
            self._make_room(target)
            return releases.load(target, self._public_key)

    def _make_room(self, newest: Path) -> None:
        """Delete old copies of bundles; a process that has memory-mapped one can still read it."""
        copies = sorted(
            (path for path in self._folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        for path in copies[:-KEPT]:
            if path.name not in self._open and path.name != self.served() and path != newest:
                shutil.rmtree(path, ignore_errors=True)

    def _private(self) -> Path:
        """Return the folder, which it creates if needed. Raises: OSError: other users own it or may write into it."""
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.stat()
            if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o022:
                raise PermissionError(
                    f"{folder}: other users own it or may write into it; set RECSYS_LAST_KNOWN to another folder"
                )
        return self._folder
