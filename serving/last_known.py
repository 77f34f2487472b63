"""Keeps verified, private copies of the last served files of this host, so that all its workers can start from them.

A bundle is mapped from its copy, so that damage to the release stops no worker and changes no answer. The last valid
files of rules and experiments, and the last state of the store, are kept for a start without them.
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

KEPT = 2  # bundles besides those that are in use
SERVED = "served"


class LastKnown:
    """The copies of this host. using: names the parts that are served from a copy, as the original is unreadable."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.last_known_folder
        self._public_key = settings.public_key
        self._open: WeakValueDictionary[str, Bundle] = WeakValueDictionary()
        self.using: set[str] = set()

    def use(self, part: str, now: bool) -> None:
        """Record whether a part is served from its copy."""
        (self.using.add if now else self.using.discard)(part)
        metrics.LAST_KNOWN.labels(part).set(now)

    def bundle(self, source: Path | str) -> Bundle:
        """Load the bundle of a folder or address from a verified and checked copy.

        Without space for a copy a folder is served from where it lies.

        Raises:
            BundleError: there is no valid copy, and the bundle is damaged, not signed, or fails its self-check.
        """
        name = str(source).rpartition("/")[2]
        bundle_id = name if releases.is_id(name) else read_manifest(Path(source)).bundle_id
        if (in_use := self._open.get(bundle_id)) is not None:
            return in_use
        try:
            loaded = self._copied(source, self._private() / bundle_id)
        except OSError as error:
            if isinstance(source, str):
                raise BundleError(f"{source}: no copy can be made on this host: {error}") from error
            log.error("%s is served from where it lies, no copy can be made: %s", bundle_id, error)
            self_check.check_apart(source)
            loaded = releases.load(source, self._public_key)
        self_check.check(loaded)
        self._open[bundle_id] = loaded
        return loaded

    def served(self) -> str | None:
        """The id of the bundle that was served last on this host."""
        with suppress(OSError):
            bundle_id = (self._folder / SERVED).read_text(encoding="utf-8")
            return bundle_id if releases.is_id(bundle_id) else None
        return None

    def keep(self, name: str, content: str) -> None:
        """Write a copy of a text; without space for it, log that and leave the earlier copy."""
        try:
            path = self._private() / name
            with locked(self._folder):
                write_text(path, content)
        except OSError as error:
            log.error("%s of this host cannot be kept: %s", name, error)

    def path(self, name: str) -> Path:
        return self._folder / name

    def read_file(self, part: str, path: Path, read: Callable[[Path], T]) -> tuple[T, str | None]:
        """Read a file that a person writes, or its last valid copy; also return why it is not the file itself.

        Raises:
            ParamsError: the file is faulty, and there is no valid copy.
        """
        try:
            found = read(path)
        except ParamsError as error:
            if not self.path(part).is_file():
                raise
            kept = read(self.path(part))
            self.use(part, True)
            log.error("%s; what was served last on this host goes on", error)
            return kept, str(error)
        self.keep_file(part, path)
        return found, None

    def keep_file(self, part: str, path: Path) -> None:
        self.use(part, False)
        if path.is_file():
            self.keep(part, path.read_text(encoding="utf-8"))

    def _copied(self, source: Path | str, target: Path) -> Bundle:
        with suppress(BundleError):
            return releases.load(target, self._public_key)
        with locked(self._folder):
            with suppress(BundleError):  # of another worker, meanwhile
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
        """Delete copies; a file that a process has memory-mapped stays readable there."""
        copies = sorted(
            (path for path in self._folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        for path in copies[:-KEPT]:
            if path.name not in self._open and path.name != self.served() and path != newest:
                shutil.rmtree(path, ignore_errors=True)

    def _private(self) -> Path:
        """Return the folder, create it if needed; raises OSError if other users own it or may write into it."""
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.stat()
            if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o022:
                raise PermissionError(f"{folder}: others own it or may write into it; set another RECSYS_LAST_KNOWN")
        return self._folder
