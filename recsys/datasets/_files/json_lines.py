"""Reads JSON Lines, one object per line, into numbered Parquet files. Numbers and lists stay as written, as text."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from recsys.data.raw_tables import FileLines
from recsys.datasets._files.records import BLANK, Record, line_fault
from recsys.datasets._files.sources import BATCH_ROWS, Parts, Source
from recsys.errors import DataError
from recsys.schemas.field_limits import unique_keys

BAD_JSON, NO_OBJECT, BAD_ID = "not_json", "no_json_object", "id_is_no_text_or_number"
REPEATED_KEY = "repeated_key"


def read(text: Path, source: Source, ids: list[str], parts: Parts) -> FileLines:
    """Write the rows of the UTF-8 file `text` to `parts`, return its line counts. ids: the keys whose values are ids; a
    line where one of these is an object, a list or a boolean is refused.

    Raises:
        DataError: "loans.json: a JSON array, expected one object per line: ..."
    """
    n_lines, n_refused, number = 0, 0, 1
    with text.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as stream:
        while batch := list(islice(stream, BATCH_ROWS)):
            if number == 1 and batch[0].lstrip().startswith("["):
                raise DataError(f"{source.name}: a JSON array, expected one object per line: convert it (jq -c '.[]')")
            objects = [read_object(line, ids) for line in batch]
            columns = list(dict.fromkeys(key for found, _ in objects for key in found or {}))
            parts.write(columns, _rows(batch, objects, columns, number), source)
            n_lines, number = n_lines + len(batch), number + len(batch)
            n_refused += sum(found is None for found, _ in objects)
    if not n_lines:
        raise DataError(f"{source.name}: empty file, expected at least one row: replace it")
    return FileLines(source.name, n_lines, 0, n_lines - n_refused, n_lines - n_refused, n_refused)


def read_object(line: str, ids: list[str]) -> tuple[dict[str, Any] | None, str | None]:
    """Return the object in a line, or None and the reason why it is refused. ids: as for `read`."""
    if fault := line_fault(line):
        return None, fault
    if not line.strip():
        return None, BLANK
    try:
        # stays text: 123.0 is not 123, and 12345678901234567890 keeps its digits
        found = json.loads(line, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=unique_keys)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate such as \ud83d is no valid text
    except KeyError:
        return None, REPEATED_KEY
    except (ValueError, RecursionError):
        return None, BAD_JSON
    if not isinstance(found, dict):
        return None, NO_OBJECT
    if any(isinstance(found.get(key), list | dict | bool) for key in ids):
        return None, BAD_ID
    return found, None


def _rows(
    lines: list[str], objects: list[tuple[dict[str, Any] | None, str | None]], columns: list[str], first: int
) -> Iterator[Record]:
    for number, (line, (found, reason)) in enumerate(zip(lines, objects, strict=True), start=first):
        cells = None if found is None else [as_text(found.get(column)) for column in columns]
        yield Record(number, 1, line.rstrip("\r\n"), cells, reason)


def as_text(value: Any) -> str | None:
    """Return a value of an object as a cell of text."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
