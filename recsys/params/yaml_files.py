"""Loads the YAML files that people write: `params.yaml`, `experiments.yaml`, `rules.yaml`.

Only the types of JSON are read: text, numbers, true, false, null, lists, and mappings from text. So `no`, `on`, `012`,
`1:30` and `2026-11-27` are text. Refused, because they hide errors or make a small file large: duplicate keys, anchors
and aliases, merge keys, tags, several documents, an empty file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from recsys.errors import ParamsError, one_line, quoted

MAX_BYTES = 500_000
MAX_VALUES = 20_000
MAX_DEPTH = 20

NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")
WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
Place = tuple[str | int, ...]


@dataclass
class YamlFile:
    """A loaded file. where: its name; lines: path of a value (keys and list positions) -> its line, from 1."""

    where: str
    content: Any = None
    lines: dict[Place, int] = field(default_factory=dict)

    def at(self, place: Place) -> str:
        """Return file and line of the value at a path, or of the innermost value around it: "rules.yaml: line 3"."""
        while place not in self.lines:
            place = place[:-1]
        return f"{self.where}: line {self.lines[place]}"


def read(path: Path) -> YamlFile:
    """Read a YAML file and check it, see the docstring of this module.

    Raises:
        ParamsError: "rules.yaml: no such file", and the errors of `parse`
    """
    return parse(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file, at most MAX_BYTES + 1 of them, so that `parse` refuses a longer file."""
    try:
        if not path.is_file():
            raise ParamsError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror})") from error


def parse(content: bytes, where: str) -> YamlFile:
    """Parse the bytes of a file; where: its name in messages.

    Raises:
        ParamsError: "rules.yaml: line 12: the key 'block' is set twice, first in line 3: keep one"
    """
    if len(content) > MAX_BYTES:
        raise ParamsError(f"{where}: more than {MAX_BYTES:,} bytes: shorten it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ParamsError(f"{where}: line {line}: not UTF-8: save the file in this encoding") from None
    if directive := re.search(r"(?m)^%", text):
        line = text.count("\n", 0, directive.start()) + 1
        raise ParamsError(f"{where}: line {line}: begins with %: take the line out")
    try:
        return _Builder(text, where).document()
    except yaml.MarkedYAMLError as error:
        begin, end = (mark.line + 1 if mark else 1 for mark in (error.context_mark, error.problem_mark))
        end = min(end, text.count("\n") + (not text.endswith("\n")))  # a half-written file ends behind its last line
        since = f" in the block that begins in line {begin}" if error.context_mark and begin < end else ""
        raise ParamsError(f"{where}: line {end}: not valid YAML ({error.problem}{since}): correct it") from None
    except yaml.YAMLError as error:  # a character that no YAML may hold
        position = getattr(error, "position", 0)
        line = text.encode()[:position].count(b"\n") + 1
        reason = one_line(str(getattr(error, "reason", error)))
        raise ParamsError(f"{where}: line {line}: not valid YAML ({reason}): correct it") from None


class _Builder:
    """Builds the values from the parser's events one by one, and checks each before memory is used for it."""

    def __init__(self, text: str, where: str) -> None:
        self._file = YamlFile(where)
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)

    def document(self) -> YamlFile:
        next(self._events)  # start of the stream
        event = next(self._events)
        if isinstance(event, yaml.DocumentStartEvent):
            self._file.content = self._value(next(self._events), ())
            next(self._events)  # end of the document
            event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second document begins: keep one")
        if self._file.content is None:
            where, cure = self._file.where, "write {} to say that nothing is set"
            raise ParamsError(f"{where}: the file is empty (comments do not count): {cure}")
        return self._file

    def _value(self, event: Any, place: Place) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"an alias, {quoted(f'*{event.anchor}')}: write the value out")
        if event.anchor is not None:
            self._refuse(event, f"an anchor, {quoted(f'&{event.anchor}')}: take it out")
        if event.tag is not None:
            self._refuse(event, f"a tag, {quoted(event.tag)}: take it out")
        if len(self._file.lines) == MAX_VALUES:
            self._refuse(event, f"more than {MAX_VALUES:,} values: shorten the file")
        if len(place) > MAX_DEPTH:
            self._refuse(event, f"more than {MAX_DEPTH} levels deep: flatten it")
        self._file.lines[place] = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            return _plain(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(item, (*place, at)) for at, item in enumerate(self._until(yaml.SequenceEndEvent))]
        return self._mapping(place)

    def _mapping(self, place: Place) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._key(event, place)
            if key in content:
                first = self._file.lines[(*place, key)]
                self._refuse(event, f"the key {quoted(key)} is set twice, first in line {first}: keep one")
            content[key] = self._value(next(self._events), (*place, key))
            self._file.lines[(*place, key)] = event.start_mark.line + 1
        return content

    def _key(self, event: Any, place: Place) -> str:
        key = self._value(event, (*place, ""))
        if not isinstance(key, str):
            what = quoted(event.value) if isinstance(event, yaml.ScalarEvent) else "a list or a mapping"
            self._refuse(event, f"a key is {what}, expected text: put it in quotes")
        if key == "<<" and event.implicit[0]:
            self._refuse(event, "a merge key, '<<': write out what it adds")
        return key

    def _until(self, end: type[Any]) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _refuse(self, event: Any, reason: str) -> NoReturn:
        raise ParamsError(f"{self._file.where}: line {event.start_mark.line + 1}: {reason}")


def _plain(text: str) -> Any:
    if text in WORDS:
        return WORDS[text]
    match = NUMBER.fullmatch(text)
    if match is None:
        return text
    return float(text) if match[2] or match[3] else int(text)
