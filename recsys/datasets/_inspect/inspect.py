"""Proposes settings of the data set `files` by which the pipeline can read a user's own files."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from recsys import datasets
from recsys.datasets._files.settings import Config
from recsys.datasets._files.sources import find
from recsys.datasets._inspect import habits
from recsys.datasets._inspect.columns import describe
from recsys.datasets._inspect.roles import Table, assign
from recsys.datasets._inspect.sample import label, read_all
from recsys.errors import DataError, ParamsError
from recsys.output import write_text
from recsys.params import parse
from recsys.schemas.field_limits import MAX_ATTRIBUTES


def inspect(paths: list[Path], database: str | None = None, name: str = "files") -> tuple[list[str], str]:
    """Return a description of each file or sheet, and the settings as YAML, with a comment where a guess may be wrong.
    database: url of the database of the queries among the files, see `recsys/datasets/_files/query.py`; name: of the
    data set.

    Raises:
        DataError: "no path: add the file of the events, and that of the items if there is one"
        SourceUnreachableError: "loans.csv: no such file, looked at /srv/loans.csv and ...: correct the path ..."
    """
    if not paths:
        raise DataError("no path: add the file of the events, and that of the items if there is one")
    # of a folder, its first file
    samples = [sample for path in paths for sample in read_all(find([path])[0], path, database)]
    tables = [Table(sample, tuple(describe(column) for column in sample.table.iter_columns())) for sample in samples]
    found = assign(tables)
    used = {table.sample.label: table for table in found if table is not None}
    return [described(used.get(table.sample.label, table)) for table in tables], settings(name, *found)


WEIGHTS = {"view": 1.0, "click": 1.0, "cart": 3.0, "purchase": 5.0, "order": 5.0, "return": 0.0, "dislike": 0.0}
ATTRIBUTE_KINDS = {"number": "number", "yes or no": "yes_no", "list": "list"}  # a whole number may be a code
FEW = 0.005  # of the rows
NEEDED = ("user_id", "item_id", "timestamp")
MOST_EVENTS, MOST_RATINGS = 20, 11  # different values
RATING = r"rating|score|stars|bewertung|^value$|^\d+$"  # a number where the file has no header


def described(table: Table) -> str:
    """Return a text about a file: a table of its columns, and the lines with another number of cells."""
    used = {column.name: name for name, column in table.roles.items()}
    rows = [["column", "used as", "looks like", "empty", "different", "such as"]]
    for column in table.columns:
        kind = column.kind if column.kind != "time" else f"time, {column.form or 'ISO 8601'}"
        empty = f"{column.empty:.1%}" if column.empty else "-"
        such = ", ".join(json.dumps(value, ensure_ascii=False) for value in column.examples)
        rows.append([column.name, used.get(column.name, ""), kind, empty, f"{column.distinct:,}", f"{such:.60}"])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines += [
        f"  {name}.*: from {label(join)}, where {join.get('key', join['on'])} is {join['on']}"
        for name, join in table.sample.settings.get("joins", {}).items()
    ]
    fault = "no JSON object" if table.sample.source.kind == "json_lines" else "another number of cells"
    odd = [f"  line {line}: {fault}: {text.rstrip()!r:.80}" for line, text in table.sample.odd[:3]]
    more = len(table.sample.odd) - len(odd)
    return "\n".join(
        [f"{table.sample.label}: {table.sample.table.height:,} rows looked at", *lines, *odd]
        + ([f"  and {more:,} lines more"] if more > 0 else [])
    )


def settings(name: str, events: Table, items: Table | None, users: Table | None, vectors: Table | None) -> str:
    """Return the section for `datasets:` in params.yaml as YAML, with a comment wherever a guess may be wrong.

    The adapter's settings are validated, as in `dvc repro`, before they are returned.
    """
    interactions = _file(events)
    names = [] if "event" not in events.roles else events.roles["event"].values.unique(maintain_order=True).to_list()
    if not names or len(names) > MOST_EVENTS:
        names = [
            "rating" if _is_rating(events) else "purchase" if {"value", "quantity"} & set(events.roles) else "view"
        ]
        interactions["event"] = names[0]
        interactions["columns"].pop("event", None)
    others = {"items": items, "users": users}
    adapter = {"interactions": interactions} | {
        name: _file(table) | _attributes(table) for name, table in others.items() if table is not None
    }
    if vectors is not None:
        adapter["vectors"] = _file(vectors)
    parse(Config, adapter, "the settings found")
    weights = {name: WEIGHTS.get(name.lower(), 1.0) for name in names}
    targets = [name for name in names if weights[name] == max(weights.values())]
    split = habits.split(events, bought={"purchase", "order"} & {name.lower() for name in targets} != set())
    liked = {"like_from": habits.like_from(events.roles["value"].values)} if _is_rating(events) else {}
    section = {
        "adapter": adapter,
        "event_weights": weights,
        "thresholds": {"min_interactions": 1000, "min_users": 50, "min_items": 50}
        | {"max_rejected_share": round(_empty(events) + 0.05, 2), "max_duplicate_share": 0.05, "max_orphan_share": 0.05}
        | liked,
        "split": split | {"target_events": targets},
    }
    body = yaml.safe_dump({name: section}, sort_keys=False, allow_unicode=True, width=110)
    return "".join(f"# {line}\n" for line in _doubts(events, items, len(names), split)) + body


def put(params: Path, text: str, name: str = "files") -> None:
    """Replace the section of a data set in a settings file, with the comments above it; the rest stays as it is. A new
    data set gets its file in `recsys/datasets`.

    Raises:
        ParamsError: "data set 'My-Shop': not a name of a Python file: use small letters, digits and _"
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ParamsError(f"data set {name!r}: not a name of a Python file: use small letters, digits and _")
    file = Path(datasets.__file__).with_name(f"{name}.py")
    like = file.with_name("files.py").read_text(encoding="utf-8")
    if file.is_file() and file.read_text(encoding="utf-8") != like:
        raise ParamsError(f"{file}: a data set of another kind has this name: choose another --name")
    write_text(file, like)
    section = "".join(f"  {line}" for line in text.splitlines(keepends=True)) + "\n"
    content, start = params.read_text(encoding="utf-8"), "datasets:\n"
    own = re.compile(rf"(?m)(?:^  #.*\n)*^  {name}:.*\n(?:^(?:    .*)?\n)*")
    content = own.sub("", content, count=1).replace(start, start + section, 1)
    write_text(params, content)


def _file(table: Table) -> dict[str, Any]:
    columns = {name: column.name for name, column in table.roles.items() if name != column.name}
    found: dict[str, Any] = {"path": str(table.sample.path), **table.sample.settings, "columns": columns}
    time = table.roles.get("timestamp") or table.roles.get("first_seen")
    if time is not None and time.form is not None:
        found["timestamp_format"] = time.form
    if any(column.kind == "number with a decimal comma" for column in table.roles.values()):
        found["decimal"] = ","
    if any(name.endswith("_id") and column.kind == "number" for name, column in table.roles.items()):
        found["float_ids"] = "whole"
    return found


def _attributes(table: Table) -> dict[str, Any]:
    """Propose the columns of items or users that have no other use as attributes, with a name that is allowed."""
    used = {column.name for column in table.roles.values()}
    found: dict[str, Any] = {}
    for column in table.columns:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", column.name)[:64].strip("_")
        if name and column.name not in used and column.distinct and len(found) < MAX_ATTRIBUTES:
            kind = ATTRIBUTE_KINDS.get(column.kind)
            found[name] = {"column": column.name, "kind": kind} if kind else column.name
    return {"attributes": list(found) if found == {name: name for name in found} else found} if found else {}


def _is_rating(events: Table) -> bool:
    value = events.roles.get("value")
    return value is not None and re.search(RATING, value.name.lower()) is not None and value.distinct <= MOST_RATINGS


def _empty(events: Table) -> float:
    """Return the largest share of empty cells in a required column."""
    return max((column.empty for name, column in events.roles.items() if name in NEEDED), default=0.0)


def _doubts(events: Table, items: Table | None, n_events: int, split: dict[str, Any]) -> list[str]:
    tables = [events] if items is None else [events, items]
    doubts = ["Guesses from the first rows: read every line, then put it under `datasets:` in params.yaml."]
    file = events.sample.source.name
    doubts += [f"MISSING: no column of {file} looks like {name}: map one." for name in events.missing]
    for column in {column.name: column for table in tables for column in table.roles.values()}.values():
        if column.doubtful:
            doubts.append(f"{column.name}: days and months could be exchanged, {column.form} was taken.")
        if (
            column.kind == "time"
            and not (column.form or "").startswith("epoch")
            and not column.values.str.contains(r"(?i)z$|utc|gmt|[+-]\d\d:?\d\d$").all()
        ):
            doubts.append(f"{column.name}: names no zone; set time_zone, such as Europe/Berlin, if it is not UTC.")
    doubts += [
        f"{table.sample.source.name}: not UTF-8, {table.sample.settings['encoding']} was taken."
        for table in tables
        if "encoding" in table.sample.settings
    ]
    if _empty(events) > FEW:
        doubts.append(f"{_empty(events):.0%} of the rows name no user, item or time: they are refused.")
    if n_events == 1:
        doubts.append("Each row is one event of one kind; set `event` to the name that your shop uses.")
    if _is_rating(events):
        doubts.append("value looks like a rating: thresholds.like_from is the lowest one that is a like.")
    elif "quantity" not in events.roles and "value" in events.roles:
        doubts.append(
            "value was taken for the amount of the row; map columns.quantity if it is the price of one piece."
        )
    if split["protocol"] == "per_user_holdout":
        doubts.append("Most users come once: so the last events of each are held out, in place of the newest of all.")
    if split.get("allow_repeat"):
        doubts.append("Many items are bought again: split.allow_repeat lets them be recommended again.")
    return doubts
