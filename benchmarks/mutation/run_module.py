"""The mutants of one module against its own tests; prints one JSON line for each. Called by `benchmarks.mutation`.

    python -m benchmarks.mutation.run_module recsys/recommend/blending.py '[3, 17]' tests/recommend/test_blending.py ...

Everything is imported once. Each mutant then is a forked child in which the code of one function is exchanged in place,
so that every reference to the function runs the mutant, and pytest runs the tests until the first one fails.
"""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

PASSED, TOO_LONG = 0, 99
FLAGS = [
    "-x",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-p",
    "no:cov",
    "-p",
    "benchmarks.mutation.skip_slow",
]


def main(path: str, chosen: list[int], tests: list[str]) -> None:
    """Run the chosen mutants, by their number in the module."""
    from benchmarks.mutation.operators import mutants

    module = importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    preload = Path(f"/tmp/mutation-{os.getpid()}.json")
    began = time.monotonic()
    status = in_child(lambda: run_tests(tests, preload), 600)
    seconds = time.monotonic() - began
    if status != PASSED:
        sys.exit(f"{path}: its tests fail without a mutant (exit {status}): {' '.join(tests)}")
    for name in json.loads(preload.read_text()):
        importlib.import_module(name)
    preload.unlink()
    if (status := in_child(lambda: run_tests(tests), 600)) != PASSED:
        sys.exit(f"{path}: its tests fail in a process that has imported everything (exit {status})")
    found = list(mutants(Path(path).read_text(), path))
    for number in chosen:
        mutant = found[number]
        function = functions(module).get(mutant.function)
        code = code_of(mutant.code, mutant.function)
        outcome = "unreachable"
        if function is not None and code is not None:
            status = in_child(lambda function=function, code=code: run_mutant(function, code, tests), 20 + 5 * seconds)
            outcome = {PASSED: "survived", TOO_LONG: "timeout"}.get(status, "killed")
        row = {"path": path, "function": mutant.function, "line": mutant.line, "what": mutant.what, "outcome": outcome}
        print(json.dumps(row), flush=True)


def run_mutant(function: FunctionType, code: CodeType, tests: list[str]) -> int:
    """Exchange the code, then run the tests."""
    function.__code__ = code
    return run_tests(tests)


def run_tests(tests: list[str], imported: Path | None = None) -> int:
    """pytest's exit status; `imported` gets the names of the modules that the tests need."""
    import pytest

    status = int(pytest.main([*FLAGS, *tests]))
    if imported is not None:
        heavy = (
            "numpy",
            "polars",
            "scipy",
            "faiss",
            "fastapi",
            "pydantic",
            "hypothesis",
            "apsw",
            "tea_tasting",
            "pandas",
        )
        names = [name for name in sys.modules if name in heavy or name.split(".")[0] in ("recsys", "serving")]
        imported.write_text(json.dumps(sorted(names)))
    return status


def in_child(call: Any, seconds: float) -> int:
    """The exit status of a forked child, or TOO_LONG."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            os._exit(call())
        finally:
            os._exit(3)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TOO_LONG


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
    main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:])
