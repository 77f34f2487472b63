"""Every name of the glossary is defined in a file that its row gives."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "glossary.md").read_text().splitlines()
    if line.startswith("|") and "`" in line
]


def defined(path: Path) -> set[str]:
    """The names of functions and classes, and of typed constants."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_name_is_defined_where_the_row_says(row: list[str]) -> None:
    _, names, files = row
    paths = [ROOT / name for name in re.findall(r"`([^`]+)`", files)]
    found = set().union(*(defined(path) for path in paths))
    missing = set(re.findall(r"`([^`]+)`", names)) - found
    assert not missing, f"docs/glossary.md names {sorted(missing)}, which is not in {files}"


def test_there_are_rows() -> None:
    assert len(ROWS) > 40
