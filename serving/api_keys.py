"""API keys: `python -m serving.api_keys --name shop --scope recommend` prints a new key and a line that admits it.

A line has the form `name:scope+scope:sha256 of the key in hex`, and may end in `:2027-01-31`, the last day (UTC) on
which the key is valid. RECSYS_API_KEYS contains the lines, separated by white space, or the path of a file with them,
which is read again when it changes. The key is stored nowhere: it has 256 random bits, so a plain hash is safe.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serving.file_stamp import stamp

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Scope(StrEnum):
    """A group of routes that a key may call, see `serving/middleware/auth.py`."""

    RECOMMEND = "recommend"
    EVENTS = "events"
    ADMIN = "admin"


LINE = re.compile(r"(?P<name>[\w.-]+):(?P<scopes>\w+(?:\+\w+)*):(?P<sha256>[0-9a-f]{64})(:(?P<until>\d{4}-\d\d-\d\d))?")


@dataclass(frozen=True)
class Key:
    """An accepted key: its name, its scopes and the SHA-256 of the secret in hex."""

    name: str
    scopes: frozenset[Scope]
    sha256: str = field(repr=False)
    until: date | None = None  # its last day, UTC


def parse(text: str) -> tuple[Key, ...]:
    """Parse lines of keys. text: the lines, or the path of a file with them, in which `#` begins a comment.

    Raises:
        ValueError: "key 2 of RECSYS_API_KEYS is not `name:scope+scope:sha256 in hex`, nor is the value a file; ..."
    """
    if not text.strip():
        return ()
    if "\n" not in text and len(text) < 4096 and Path(text).is_file():
        text = re.sub(r"#.*", "", Path(text).read_text(encoding="utf-8"))
    return tuple(_key(line, number) for number, line in enumerate(text.split(), 1))


class KeyFile:
    """The keys of RECSYS_API_KEYS. text: its value, lines of keys or the path of a file. A changed file is read again
    within a second, so that a key can be revoked without a restart."""

    def __init__(self, text: str) -> None:
        self._text, self._looked = text, 0.0
        self._file = Path(text) if text.strip() and "\n" not in text and len(text) < 4096 else None
        self._seen = stamp(self._file) if self._file else None
        self._keys = parse(text)

    def now(self) -> tuple[Key, ...]:
        """Return the accepted keys; while the file is missing or invalid, those of its last valid content."""
        moment = time.monotonic()
        if self._file is not None and moment - self._looked >= LOOK_SECONDS:
            self._looked, before = moment, self._seen
            self._seen = stamp(self._file)
            if self._seen not in (before, None):
                try:
                    self._keys = parse(self._text) or self._keys
                except (OSError, ValueError) as error:
                    log.error("the API keys stay as they were: %s", error)
        return self._keys


def find(keys: Iterable[Key], presented: str) -> Key | None:
    """Return the valid key with this secret, or None. It compares every key, in constant time."""
    digest = hashlib.sha256(presented.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest) and (key.until is None or datetime.now(UTC).date() <= key.until):
            found = key
    return found


def new(name: str, scopes: Iterable[Scope]) -> tuple[str, str]:
    """Generate a key. Return its secret, and the line for RECSYS_API_KEYS that admits it."""
    key = secrets.token_urlsafe(32)
    return key, f"{name}:{'+'.join(scopes)}:{hashlib.sha256(key.encode()).hexdigest()}"


def _key(line: str, number: int) -> Key:
    # never quote the line in a message: by mistake it may contain the key itself
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(
            f"key {number} of RECSYS_API_KEYS is not `name:scope+scope:sha256 in hex`, nor is the value a file;"
            " make a line with `python -m serving.api_keys`"
        )
    scopes = match["scopes"].split("+")
    if unknown := sorted(set(scopes) - set(Scope)):
        choices = ", ".join(Scope)
        raise ValueError(
            f"key {match['name']!r} of RECSYS_API_KEYS: no scope {unknown[0]!r}, expected one of {choices}"
        )
    until = date.fromisoformat(match["until"]) if match["until"] else None
    return Key(match["name"], frozenset(map(Scope, scopes)), match["sha256"], until)


def main(
    name: Annotated[str, typer.Option(help="whose key it is; letters, digits, dot, dash", show_default=False)],
    scope: Annotated[list[Scope], typer.Option(help="can be repeated", show_default=False)],
) -> None:
    """Generate a key. Send the key to the client, and add the line to RECSYS_API_KEYS."""
    key, line = new(name, scope)
    if LINE.fullmatch(line) is None:
        raise typer.BadParameter(f"{name!r}: expected only letters, digits, dots and dashes")
    print(f"key   {key}\nline  {line}")


if __name__ == "__main__":
    typer.run(main)
