"""Draw docstrings and error messages at random, for a reader who has never seen the code.

    python -m benchmarks.structure.sample_words --seed 1 [--docstrings 50] [--messages 20]

Prints Markdown: public docstrings of `recsys` and `serving`, each with its place and signature, as the API reference
shows them, and the sentences of `raise`, as the code writes them. The same seed and code give the same sample. What
readers did not understand, and what became of it: docs/quality.md.
"""

import argparse
import ast
import random
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "serving")


def main(seed: int, docstrings: int, messages: int) -> None:
    """Print a sample of both."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files()}
    chance = random.Random(seed)
    for letter, title, count, every in (
        ("D", "docstrings", docstrings, [entry for path, tree in trees.items() for entry in documented(path, tree)]),
        ("E", "error messages", messages, [entry for path, tree in trees.items() for entry in raised(path, tree)]),
    ):
        print(f"# {count} of {len(every)} {title}, seed {seed}\n")
        for number, (place, text) in enumerate(chance.sample(every, min(count, len(every))), 1):
            print(f"## {letter}{number}  {place}\n{text}\n")


def files() -> list[Path]:
    """All Python files of both packages, by name."""
    return sorted(path for package in PACKAGES for path in (TOP / package).rglob("*.py"))


def documented(path: Path, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(place and signature, docstring) of a module, its public classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module):
            line, name, signature = 1, "(module)", ""
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            line, name, signature = node.lineno, node.name, ""
            if not isinstance(node, ast.ClassDef):
                returned = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
                signature = f"({ast.unparse(node.args)}){returned}"
        else:
            continue
        if name.startswith("_"):
            continue
        if text := ast.get_docstring(node):
            yield f"{path.relative_to(TOP)}:{line} `{name}{signature}`", text


def raised(path: Path, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(place, source of the error) of every `raise` that builds its sentence there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            sentences = (part for part in ast.walk(node.exc) if isinstance(part, ast.Constant))
            if any(isinstance(part.value, str) and " " in part.value for part in sentences):
                yield f"{path.relative_to(TOP)}:{node.lineno}", ast.unparse(node.exc)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, required=True)
    options.add_argument("--docstrings", type=int, default=50)
    options.add_argument("--messages", type=int, default=20)
    main(**vars(options.parse_args()))
