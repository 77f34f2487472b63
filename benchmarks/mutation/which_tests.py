"""Which tests run a statement of a module: recorded by coverage.py while all of them run once."""

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

    def __init__(self, path: str, source: str) -> None:
        self._path, self._tree = path, ast.parse(source)
        self._lines: dict[int, list[int]] = {}
        self._seconds: list[float] = []
        self._contexts: list[str] = []

    def record(self, session: pytest.Session, file: Path) -> int:
        """Run all tests, and write which line each runs; the number of the first that fails, or PASSED."""
        measured = coverage.Coverage(data_file=None, include=[str(Path(self._path).resolve())], config_file=False)
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
        of_line = {}
        for path in data.measured_files():
            of_line = {line: self._tests(items, contexts) for line, contexts in data.contexts_by_lineno(path).items()}
        file.write_text(json.dumps({"lines": of_line, "seconds": seconds}))
        return PASSED

    def read(self, file: Path) -> None:
        """Read what `record` wrote in another process."""
        found = json.loads(file.read_text())
        self._lines = {int(line): tests for line, tests in found["lines"].items()}
        self._seconds = found["seconds"]

    def tests_of(self, line: int) -> tuple[list[int], float]:
        """The tests that run the statement of a line, the quick ones first, and the seconds that they take together."""
        first, last = self._statement(line)
        tests = {test for at in range(first, last + 1) for test in self._lines.get(at, [])}
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

    def _statement(self, line: int) -> tuple[int, int]:
        """The first and last line of the innermost statement.

        Of a statement with a body that is its head; a default in the head of a function counts when the function runs.
        """
        around = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or line)
        ]
        inner = max(around, key=lambda node: (node.lineno, -(node.end_lineno or line)))
        last = inner.end_lineno or line
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            return inner.body[0].lineno, last
        body = getattr(inner, "body", None)
        return inner.lineno, max(inner.lineno, body[0].lineno - 1) if body else last
