"""Results files read, and what the documents show of them as Markdown."""

import json
from collections.abc import Iterable
from typing import Any

from benchmarks import provenance


def read(name: str) -> dict[str, Any]:
    """The figures of docs/results/<name>.json or benchmarks/results/<name>.json."""
    file = provenance.DOCS / f"{name}.json"
    if not file.is_file():
        file = provenance.RESULTS / f"{name}.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def table(header: list[str], rows: Iterable[list[object]], *sources: str) -> str:
    """A table, its first column to the left and the others to the right; below it where `sources` come from, if any."""
    lines: list[list[object]] = [[*header], ["---", *["---:"] * (len(header) - 1)], *rows]
    text = "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
    return f"{text}\n\n{origin(*sources)}" if sources else text


def origin(*sources: str) -> str:
    """One line: command, commit and date of each results file, and whether the code has moved on since."""
    origins = [read(name)["provenance"] for name in sources]
    return "*Measured: " + "; ".join(dict.fromkeys(_described(one) for one in origins)) + ".*"


def _described(one: dict[str, Any]) -> str:
    text = f"`{one['command']}` at `{one['commit'][:7]}` on {one['date']}"
    older = one.get("older_than_the_code")
    return text if older is None else f"{text}, {older['commits']} commits older than the code at `{older['at'][:7]}`"


def percent(share: float, digits: int = 0) -> str:
    """`12 %`."""
    return f"{share * 100:.{digits}f} %"
