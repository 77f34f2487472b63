"""The mutants of modules against the tests of their room; prints one JSON line for each.

    python -m benchmarks.mutation.run_room '{"recsys/recommend/blending.py": [3, 17]}' TEST_FILE TEST_FILE ...

The tests are imported and collected once. Each mutant then is a forked child in which the code of one function is
exchanged in place, so that every reference to the function runs the mutant. The child runs the tests that run the
changed statement, quick ones first, until one fails. That test has to fail a second time: a test that fails now and
then, or on a busy machine, notices nothing.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TextIO

import pytest

from benchmarks.mutation.operators import Mutant, mutants
from benchmarks.mutation.which_tests import PASSED, WhichTests

TOO_LONG, BROKEN = -2, -3  # and PASSED; otherwise: the number of the test that failed
FLAGS = ["-q", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "-p", "no:xdist"]
FLAGS += ["-p", "no:cov", "-p", "benchmarks.mutation.skip_slow"]


class MutantLoop:
    """A pytest plugin: in place of the tests, run the tests once for each mutant."""

    def __init__(self, chosen: dict[str, list[int]], out: TextIO) -> None:
        self._chosen, self._out = chosen, out

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Print the outcome of each mutant."""
        which, items = WhichTests(list(self._chosen)), session.items
        for path in self._chosen:
            importlib.import_module(_name(path))
        if any(file.read_text() == "polars-0\n" for file in Path("/proc/self/task").glob("*/comm")):
            print("the imports of the tests have started threads of polars: a fork waits for them", file=sys.stderr)
            pytest.exit("no mutant was tried", 1)
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            failed = in_child(lambda: which.record(session, Path(file.name)), 1200)
            if failed != PASSED:
                name = items[failed].nodeid if failed >= 0 else "they take too long"
                print(f"its tests fail without a mutant: {name}", file=sys.stderr)
                pytest.exit("no mutant was tried", 1)
            which.read(Path(file.name))
        for path, numbers in self._chosen.items():
            found = list(mutants(Path(path).read_text(encoding="utf-8"), path))
            for number in numbers:
                row = {"path": path, "number": number, **_outcome(session, path, found[number], which)}
                print(json.dumps(row), file=self._out, flush=True)
        return True


def _outcome(session: pytest.Session, path: str, mutant: Mutant, which: WhichTests) -> dict[str, Any]:
    module = sys.modules[_name(path)]
    function, code = functions(module).get(mutant.function), code_of(mutant.code(), mutant.function)
    row = {"function": mutant.function, "line": mutant.line, "what": mutant.what}
    if function is None or code is None:
        return row | {"outcome": "unreachable"}

    defaults = mutant.defaults(vars(module))

    def run(tests: Sequence[int]) -> int:
        function.__code__ = code
        if defaults is not None:
            function.__defaults__, function.__kwdefaults__ = defaults
        return first_failure(session, tests)

    tests, seconds = which.tests_of(path, mutant.line)
    status = in_child(lambda: run(tests), 20 + 5 * seconds)
    if status >= 0 and in_child(lambda: run([status]), 20 + 5 * seconds) == PASSED:
        again = [test for test in tests if test != status]  # it fails now and then: the others decide
        status = in_child(lambda: run(again), 20 + 5 * seconds)
    outcome = {PASSED: "survived", TOO_LONG: "timeout", BROKEN: "broken"}.get(status, "killed")
    return row | {"outcome": outcome} | ({"by": session.items[status].nodeid} if status >= 0 else {})


def _name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def first_failure(session: pytest.Session, tests: Sequence[int]) -> int:
    """Run these tests, by number, until one fails: its number, or PASSED."""
    items = [session.items[test] for test in tests]
    for test, item, following in zip_longest(tests, items, items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            with suppress(Exception):  # what the mistake has left behind
                session._setupstate.teardown_exact(None)
            return test
    return PASSED


def in_child(call: Callable[[], int], seconds: float) -> int:
    """What a call returns in a forked process, TOO_LONG, or BROKEN for one that ends before it returns."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        try:
            os.write(write, str(call()).encode())
        except Exception:
            traceback.print_exc(file=sys.__stderr__)
            raise
        finally:
            os._exit(0)
    os.close(write)
    until, done = time.monotonic() + seconds, 0
    while not done and time.monotonic() < until:
        done, _ = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and what its tests have started
    if not done:
        os.waitpid(child, 0)
    with os.fdopen(read) as answer:
        return int(answer.read() or BROKEN) if done else TOO_LONG


def functions(module: ModuleType) -> dict[str, FunctionType]:
    """The module's functions and methods by qualified name, whatever decorates them."""
    found = {}
    for name, value in vars(module).items():
        members = vars(value).items() if isinstance(value, type) and value.__module__ == module.__name__ else []
        for label, each in [(name, value), *((f"{name}.{member}", each) for member, each in members)]:
            for attribute in ("fget", "func", "__func__", "__wrapped__"):
                each = (
                    getattr(each, attribute, each)
                    if not isinstance(each, FunctionType) or attribute == "__wrapped__"
                    else each
                )
            if isinstance(each, FunctionType) and each.__module__ == module.__name__:
                found[label] = each
    return found


def code_of(module: CodeType, function: str) -> CodeType | None:
    """The code of a function or method inside the code of its module."""
    code: CodeType | None = module
    for name in function.split("."):
        inner = code.co_consts if code else ()
        code = next((each for each in inner if isinstance(each, CodeType) and each.co_name == name), None)
    return code


if __name__ == "__main__":
    chosen, *tests = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what pytest prints
    sys.exit(pytest.main([*FLAGS, *tests], plugins=[MutantLoop(json.loads(chosen), out)]))
