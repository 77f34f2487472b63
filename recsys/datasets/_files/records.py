"""Splits lines into records, for files that polars cannot read, see `recsys/datasets/_files/delimited.py`.

A line that cannot be split is refused, and splitting continues with the next line: a quote that is never closed costs
one line.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MAX_LINES = 1_000  # maximum size of a record: a longer quoted cell counts as never closed
UNCLOSED, STRAY, RAGGED, BLANK = "unclosed_quote", "stray_quote", "wrong_number_of_cells", "blank_line"
NUL, BAD_BYTES, HEADER = "nul_byte", "not_in_encoding", "repeated_header"
_LOST = re.compile("[\udc80-\udcff]")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "b": "\b"}

Cells = list[str | None]


@dataclass(slots=True)
class Record:
    """One record. number: its first line, from 1; lines: number of lines; cells: None if refused for `reason`."""

    number: int
    lines: int
    text: str
    cells: Cells | None
    reason: str | None = None


@dataclass
class _Pending:
    """Lookahead over an iterator of lines: `at(i)` is the i-th line from here, None after the last one."""

    source: Iterator[str]
    ahead: deque[str] = field(default_factory=deque)

    def at(self, index: int) -> str | None:
        while len(self.ahead) <= index:
            line = next(self.source, None)
            if line is None:
                return None
            self.ahead.append(line)
        return self.ahead[index]


class Splitter:
    """Splits text by a separator, with quotes around cells (or none) and an escape before a character (or none)."""

    def __init__(self, separator: str, quote: str | None, escape: str | None) -> None:
        s, q, e = (re.escape(mark) if mark else "" for mark in (separator, quote, escape))
        self.separator, self.quote, self.escape = separator, quote, escape
        pad = "" if separator == " " else " *"
        after_escape = f"|{e}." if e else ""
        inside = f"(?:[^{q}{e}]|{q}{q}{after_escape})*+"
        plain = f"(?:[^{s}{q}{e}]{after_escape})*+"
        quoted = f"{pad}{q}({inside}){q}{pad}|" if q else "()(?!)|"
        open_quote = f"{pad}{q}{inside}{e and e + '?'}" if q else "(?!)"
        self._cell = re.compile(f"(?:{quoted}({plain}))({s}|\\Z)", re.DOTALL)
        self._open = re.compile(f"(?:{open_quote}|{plain + e if e else '(?!)'})\\Z", re.DOTALL)
        self._unescape = re.compile(f"{e}(.)", re.DOTALL) if e else None

    def is_plain(self, line: str) -> bool:
        """Return whether the line has neither quote nor escape, so that it can be split at each separator."""
        return not (self.quote and self.quote in line) and not (self.escape and self.escape in line)

    def split(self, line_at: Callable[[int], str | None]) -> tuple[Cells | None, int, str | None]:
        """Split the record that starts at `line_at(0)`; return cells or None, number of lines, and reason or None."""
        raw = line_at(0) or ""
        text, used, start, cells = _body(raw), 1, 0, Cells()
        if self.is_plain(text):
            return [cell or None for cell in text.split(self.separator)], 1, None
        while True:
            if match := self._cell.match(text, start):
                cells.append(self._value(match[1], match[2]))
                if not match[3]:
                    return cells, used, None
                start = match.end()
            elif self._open.match(text, start):
                line: str | None = ""
                while line is not None and self.is_plain(line):  # the quote cannot close here
                    line = line_at(used) if used < MAX_LINES else None
                    raw, used = raw + (line or ""), used + 1
                if line is None:
                    return None, 1, UNCLOSED
                text = _body(raw)
            else:
                return None, 1, STRAY

    def _value(self, quoted: str | None, plain: str | None) -> str | None:
        if quoted is None:
            plain = plain or ""
            if not plain or (self.escape and plain == self.escape + "N"):
                return None
            return self._without_escapes(plain)
        return self._without_escapes(quoted.replace(f"{self.quote}{self.quote}", self.quote or ""))

    def _without_escapes(self, text: str) -> str:
        if self._unescape is None:
            return text
        return self._unescape.sub(lambda match: _ESCAPED.get(match[1], match[1]), text)


def records(
    lines: Iterator[str], splitter: Splitter, first: int, header: Cells | None, typed: list[int]
) -> Iterator[Record]:
    """Split lines into records; every line belongs to exactly one record. lines: with line ends; first: number of the
    first line; header: column names, or any row of a file without header, whose length is the expected number of cells;
    typed: positions of the cells with times or numbers. If a line inside of a quoted cell looks like a row, with times
    and numbers at these positions, the quote was never closed."""
    pending, number = _Pending(lines), first
    width = len(header or [])
    while (line := pending.at(0)) is not None:
        if width and splitter.is_plain(line) and line_fault(line) is None:  # most lines, and four times faster
            plain = _body(line).split(splitter.separator)
            if len(plain) == width and plain != header and (width > 1 or line.strip()):
                pending.ahead.popleft()
                yield Record(number, 1, "", [cell or None for cell in plain])
                number += 1
                continue
        cells, used, reason = splitter.split(pending.at)
        width = width or len(cells or [])
        if cells is not None and used > 1 and _holds_rows(cells, splitter.separator, width, typed):
            cells, used, reason = None, 1, UNCLOSED
        text = "".join(pending.at(index) or "" for index in range(used))
        reason = line_fault(text) or reason or _fault(text, cells or [], width, header)
        yield Record(number, used, _body(text), None if reason else cells, reason)
        for _ in range(used):
            pending.ahead.popleft()
        number += used


def line_fault(text: str) -> str | None:
    """Return the fault of a line, read with `surrogateescape`: zero bytes or bytes invalid in UTF-8; else None."""
    if "\0" in text:
        return NUL
    return BAD_BYTES if not text.isascii() and _LOST.search(text) else None


def _fault(text: str, cells: Cells, width: int, header: Cells | None) -> str | None:
    if not text.strip():
        return BLANK
    if len(cells) != width:
        return RAGGED
    return HEADER if cells == header else None


def _holds_rows(cells: Cells, separator: str, width: int, typed: list[int]) -> bool:
    """Return whether a line in a quoted cell looks like a row: `width` cells, times or numbers at `typed` positions."""
    shapes = {place: _shape(cells[place]) for place in typed if place < len(cells)}
    shapes = {place: shape for place, shape in shapes.items() if "0" in shape and "\n" not in shape}
    inner = [line.split(separator) for cell in cells for line in (cell or "").split("\n")[1:]]
    rows = [parts for parts in inner if len(parts) == width]
    return bool(shapes) and any(all(_shape(row[at]) == shape for at, shape in shapes.items()) for row in rows)


def _shape(cell: str | None) -> str:
    return re.sub(r"\d", "0", (cell or "").strip(" \"'"))


def _body(line: str) -> str:
    return line[:-1].removesuffix("\r") if line.endswith("\n") else line
