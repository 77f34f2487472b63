"""What the documents say is true: commands exist, links resolve, named files are there, nothing points outside."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Package index hosts, absolute paths of one machine, and words about how the project was made have no place here.
FORBIDDEN = re.compile(
    r"(pypi|pythonhosted|npmjs)\.org|download\.pytorch|/work/|/root/|/home/\w"
    r"|\bissues? #?\d|\bPLAN\.md|\bthis (session|helper)\b",
    re.IGNORECASE,
)
TOP = r"(?:recsys|serving|tests|docs|notebooks|benchmarks|deploy|\.ci|\.dvc)"
PATH_IN_TEXT = re.compile(rf"(?<![\w/.<])({TOP}/[\w./-]*\w)(?![\w*{{])")


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [Path(name) for name in listed.stdout.split("\0") if name.endswith(suffixes) and (ROOT / name).is_file()]
    assert paths, f"no file ends in {suffixes}"
    return paths


def documents() -> list[Path]:
    return tracked(".md")


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_make_command_is_a_target(path: Path) -> None:
    named = set(re.findall(r"(?:`|^\s*|&& )make ([a-z-]+)", (ROOT / path).read_text(), re.M))
    assert named <= targets(), f"{path}: the Makefile has no target {sorted(named - targets())}"


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_relative_link_resolves(path: Path) -> None:
    text = (ROOT / path).read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    broken = [link for link in links if link and not (ROOT / path.parent / link).exists()]
    assert not broken, f"{path}: broken links {broken}"


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_named_file_exists(path: Path) -> None:
    """Paths in the text, in the tree and in the diagram. `recsys/models/x.py` and `shop.py` are the reader's own."""
    named = {name for name in PATH_IN_TEXT.findall((ROOT / path).read_text()) if Path(name).stem not in ("x", "shop")}
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, f"{path} names files that are not there: {missing}"


def test_nothing_names_a_machine_or_a_package_index() -> None:
    found = []
    # a product's record of where its template is, perhaps a folder of this machine
    may_name = {Path(__file__).relative_to(ROOT), Path(".copier-answers.yml")}
    for path in tracked(".py", ".md", ".toml", ".yaml", ".yml", ".lock", ".ipynb", "Makefile", "run", ".json", ".html"):
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            if path not in may_name and FORBIDDEN.search(line):
                found.append(f"{path}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


ROOMS = ("recsys", "serving", "tests", "benchmarks")


def test_a_folder_holds_at_most_15_python_files() -> None:
    """`__init__.py` does not count."""
    counts = Counter(
        str(path.parent) for path in tracked(".py") if path.name != "__init__.py" and path.parts[0] in ROOMS
    )
    full = {folder: count for folder, count in counts.items() if count > 15}
    assert not full, f"over 15 Python files, make folders by what they are about: {full}"


def test_a_file_has_at_most_300_lines() -> None:
    long = {str(path): n for path in tracked(".py") if (n := len((ROOT / path).read_text().splitlines())) > 300}
    assert not long, f"over 300 lines, cut them by concept: {long}"


def test_a_function_has_at_most_60_lines() -> None:
    """From `def` to its last line. Complexity is ruff's to limit (C901, `pyproject.toml`)."""
    long = {}
    for path in tracked(".py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > 60:
                    long[f"{path}: {node.name}"] = lines
    assert not long, f"over 60 lines, take steps out into functions: {long}"


def test_ci_runs_what_the_readme_says() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()
