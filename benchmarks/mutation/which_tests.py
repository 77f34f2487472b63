"""Which tests run a statement of some modules: recorded by coverage.py while all of them run once."""

import ast
import json
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import coverage
import pytest

PASSED = -1


class WhichTests:
    """The tests of each line, by number, and how long each takes.

    What runs while a fixture is made counts for every test that uses the fixture: only the first of them makes it.
    """

    def __init__(self, paths: list[str]) -> None:
        self._trees = {path: ast.parse(Path(path).read_text(encoding="utf-8")) for path in paths}
        self._lines: dict[str, dict[str, list[int]]] = {}
        self._seconds: list[float] = []
        self._contexts: list[str] = []

    def record(self, session: pytest.Session, to: Path) -> int:
        """Run all tests, and write which line each runs; the number of the first that fails, or PASSED."""
        whole = {str(Path(path).resolve()): path for path in self._trees}
        measured = coverage.Coverage(data_file=None, include=list(whole), config_file=False)
        measured.set_option("run:disable_warnings", ["no-data-collected"])  # a module that no test runs
        self._measured, seconds = measured, []
        session.config.pluginmanager.register(self)
        measured.start()
        items = session.items
        for test, (item, following) in enumerate(zip_longest(items, items[1:])):
            self._contexts = [str(test)]
            measured.switch_context(str(test))
            began = time.monotonic()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            seconds.append(time.monotonic() - began)
            if session.testsfailed:
                return test
        measured.stop()
        data = measured.get_data()
        lines = {
            whole[file]: {at: self._tests(items, names) for at, names in data.contexts_by_lineno(file).items()}
            for file in data.measured_files()
        }
        to.write_text(json.dumps({"lines": lines, "seconds": seconds}))
        return PASSED

    def read(self, file: Path) -> None:
        """Read what `record` wrote in another process."""
        found = json.loads(file.read_text())
        self._lines, self._seconds = found["lines"], found["seconds"]

    def tests_of(self, path: str, line: int) -> tuple[list[int], float]:
        """The tests that run the statement of a line, the quick ones first, and the seconds that they take together."""
        first, last = _statement(self._trees[path], line)
        lines = self._lines.get(path, {})
        tests = {test for at in range(first, last + 1) for test in lines.get(str(at), [])}
        ordered = sorted(tests, key=lambda test: self._seconds[test])
        return ordered, sum(self._seconds[test] for test in ordered)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Name the fixture whose lines run."""
        self._contexts.append(f"fixture {fixturedef.argname}")
        self._measured.switch_context(self._contexts[-1])
        try:
            return (yield)
        finally:
            self._contexts.pop()
            self._measured.switch_context(self._contexts[-1])

    def _tests(self, items: list[pytest.Item], contexts: list[str]) -> list[int]:
        used = {name.removeprefix("fixture ") for name in contexts if name.startswith("fixture ")}
        own = {int(name) for name in contexts if name.isdigit()}
        return sorted(own | {at for at, item in enumerate(items) if used & set(getattr(item, "fixturenames", ()))})


def _statement(tree: ast.Module, line: int) -> tuple[int, int]:
    """The first and last line of the innermost statement.

    Of a statement with a body that is its head; a default in the head of a function counts when the function runs.
    """
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or line)
    ]
    inner = max(around, key=lambda node: (node.lineno, -(node.end_lineno or line)))
    last = inner.end_lineno or line
    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
        return inner.body[0].lineno, last
    body = getattr(inner, "body", None)
    return inner.lineno, max(inner.lineno, body[0].lineno - 1) if body else last
