"""Every program among the benchmarks is run by some test, so that none rots."""

import ast
from pathlib import Path

from benchmarks.provenance import TOP

BY_ANOTHER = {  # programs that another program runs
    *(
        f"benchmarks.peers.{name}"
        for name in ("ease", "esasrec", "lenskit_peers", "neighbours", "rectools_peers", "sasrec_peers")
    ),
    "benchmarks.fuzz.one",
    "benchmarks.mutation.run_room",
    "benchmarks.rehearsal.month",
    "benchmarks.serving.faults.faulty",
    "benchmarks.structure.count_calls",
}


def programs() -> set[str]:
    """Modules with `if __name__ == "__main__"`; a folder's `__main__` is the folder."""
    found = set()
    for path in (TOP / "benchmarks").rglob("*.py"):
        if any(
            isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
            for node in ast.parse(path.read_text()).body
        ):
            found.add(".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__main__"))
    return found - BY_ANOTHER


def named_in_tests() -> set[str]:
    """Modules of benchmarks that tests import, or run with `command`."""
    found = set()
    for path in [file for file in (TOP / "tests").rglob("*.py") if file != Path(__file__)]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("benchmarks"):
                found |= {
                    node.module.removesuffix(".__main__"),
                    *(f"{node.module}.{alias.name}" for alias in node.names),
                }
            elif isinstance(node, ast.Constant) and str(node.value).startswith("benchmarks."):
                found.add(str(node.value))
    return found


def test_every_program_is_run() -> None:
    missing = sorted(programs() - named_in_tests())
    assert not missing, f"run them at toy size in tests/benchmarks: {missing}"
