"""What a Python file imports, read from its text with `ast`: of this tree, or of the tree of an earlier commit.

A call such as `extensions.load("models", name)` imports a file by a name that is known at run time only: then the
folder counts. `if TYPE_CHECKING:` imports nothing.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def file_of(root: Path, module: str) -> Path | None:
    """The file of a module of the tree `root`; None for modules from elsewhere."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"):
            yield node
            yield from _runtime_nodes(node)


@cache
def modules(path: Path) -> tuple[str, ...]:
    """Names of the modules that a file imports; of `from a import b` both a and a.b."""
    return tuple(_modules(path))


def _modules(path: Path) -> Iterator[str]:
    for node in _runtime_nodes(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def folders_by_name(root: Path, path: Path) -> frozenset[str]:
    """Folders of recsys from which the file imports by a name that is known at run time only."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and node.args:
            first = node.args[0]
            text = first.values[0] if isinstance(first, ast.JoinedStr) and first.values else first
            value = str(getattr(text, "value", None))
            called = ast.unparse(node.func)
            if called.endswith("import_module") and (match := re.match(r"recsys\.(\w+)\.", value)):
                found.add(match[1])
            if (
                called in ("extensions.load", "extensions.build")
                and (root / "recsys" / value / "__init__.py").is_file()
            ):
                found.add(value)
    return frozenset(found)


@cache
def closure(root: Path, path: Path, packages: tuple[str, ...]) -> tuple[frozenset[Path], frozenset[str]]:
    """The files of `packages` that running `path` imports, itself included, and the folders it imports from by name."""
    files: set[Path] = set()
    folders: set[str] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        if current in files:
            continue
        files.add(current)
        folders |= folders_by_name(root, current)
        for module in modules(current):
            parts = module.split(".")
            if parts[0] in packages:
                todo += [file for n in range(1, len(parts) + 1) if (file := file_of(root, ".".join(parts[:n])))]
    return frozenset(file for file in files if file.name != "__init__.py" or _has_code(file)), frozenset(folders)


def _has_code(path: Path) -> bool:
    return any(not isinstance(node, ast.Expr) for node in _tree(path).body)
