"""Splits lines into records. A line that cannot be split is refused alone, and splitting goes on with the next line: a
quote that is never closed costs one line.

Used for files with lines that polars cannot read as rows; see `recsys/datasets/_files/delimited.py`.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MAX_LINES = 1_000  # of one record; beyond, its quote is taken for one that was never closed
UNCLOSED, STRAY, RAGGED, BLANK = "unclosed_quote", "stray_quote", "wrong_number_of_cells", "blank_line"
NUL, BAD_BYTES, HEADER = "nul_byte", "not_in_encoding", "repeated_header"
_LOST = re.compile("[\udc80-\udcff]")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "b": "\b"}

Cells = list[str | None]


@dataclass(slots=True)
class Record:
    """One record: `lines` lines from line `number` (from 1) on, as `cells`, or the reason why they were refused."""

    number: int
    lines: int
    text: str
    cells: Cells | None
    reason: str | None = None


@dataclass
class _Pending:
    """Lookahead over an iterator of lines; `at(i)` is None after the last line."""

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
        """Return whether the line has no quote and no escape, so that splitting at the separators is enough."""
        return not (self.quote and self.quote in line) and not (self.escape and self.escape in line)

    def split(self, line_at: Callable[[int], str | None]) -> tuple[Cells | None, int, str | None]:
        """Split the record that starts at line 0: its cells, its number of lines, and the reason if it is refused."""
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
    """Split lines into records; every line belongs to exactly one.

    lines: with their line ends; first: the number of the first line; header: the column names, or any row of a file
    without them, to tell the number of cells; typed: positions of the cells that hold times or numbers. They help to
    find a quote that was never closed: the lines it swallowed would be valid rows by themselves.
    """
    pending, number = _Pending(lines), first
    width = len(header or [])
    while (line := pending.at(0)) is not None:
        if width and splitter.is_plain(line) and line_fault(line) is None:  # most lines, and four times as fast
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
    """Return the fault of a line with zero bytes or with bytes invalid in UTF-8 (read with `surrogateescape`)."""
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
    """Return whether a line inside a quoted cell looks like a row: times or numbers where the record has some."""
    shapes = {place: _shape(cells[place]) for place in typed if place < len(cells)}
    shapes = {place: shape for place, shape in shapes.items() if "0" in shape and "\n" not in shape}
    inner = [line.split(separator) for cell in cells for line in (cell or "").split("\n")[1:]]
    rows = [parts for parts in inner if len(parts) == width]
    return bool(shapes) and any(all(_shape(row[at]) == shape for at, shape in shapes.items()) for row in rows)


def _shape(cell: str | None) -> str:
    return re.sub(r"\d", "0", (cell or "").strip(" \"'"))


def _body(line: str) -> str:
    return line[:-1].removesuffix("\r") if line.endswith("\n") else line
