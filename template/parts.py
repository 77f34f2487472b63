"""What a product may leave out, and what goes with it: files, make targets, lines of other files."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

# A product has none of these. What was measured belongs to the old names; `dvc repro` writes it anew.
NEVER = (
    "template", "copier.yml", "tests/template", "docs/fork.md", "dvc.lock", "metrics",
    "benchmarks/fork", "benchmarks/results/stopwatch.json", "tests/chaos/test_stopwatch.py",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """paths: left out, but for `kept`, which other files need; targets: of the Makefile; lines: file -> regex."""

    paths: tuple[str, ...]
    kept: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()


PARTS = {
    "benchmarks": Part(
        (
            "benchmarks", "docs/benchmarks.md", "docs/story.md", "docs/quality.md", "docs/results", "docs/structure.md",
            "notebooks/04_experiments.ipynb",  # on simulated shoppers
        ),
        kept=(  # servers, imports and broken models that tests use
            "benchmarks/__init__.py", "benchmarks/stores/__init__.py", "benchmarks/stores/servers.py",
            "benchmarks/simulator/__init__.py", "benchmarks/simulator/scrambled.py",
            "benchmarks/structure/__init__.py", "benchmarks/structure/imports.py",
        ),
        targets=("test-benchmarks", "test-chaos", "coverage", "results", "figures", "check-figures", "story"),
        lines=(
            (".ci/run", "make test-benchmarks"),
            (".ci/run", "make test-chaos"),
            ("mkdocs.yml", r"- (Figures:|benchmarks\.md|structure\.md|quality\.md|story\.md)"),
            ("README.md", r"^    benchmarks/ "),
            ("docs/glossary.md", "`benchmarks/"),
        ),
    ),
    "deploy": Part(
        (
            "deploy", ".github/workflows/image.yml", "tests/deploy", "tests/serving/test_nginx.py",
            ".ci/build", ".ci/compose", ".ci/image",
        ),
        kept=("deploy/demo.py", "deploy/lock.py", "deploy/requirements-serve.lock"),  # make demo, make lock
        targets=("image", "image-test", "compose-test"),
        lines=((".github/CODEOWNERS", "^/deploy/"), (".ci/run", r"\.ci/(image|compose)")),
    ),
}  # fmt: skip
ALWAYS = (
    ("mkdocs.yml", r"- fork\.md"),
    ("docs/benchmarks.md", r"python -m benchmarks\.fork`"),
    ("benchmarks/figures/documents.py", r"\bfork\b"),
)


def chosen(paths: list[str], drop: list[str], source: Path) -> list[str]:
    """Return the paths that a product has; tests of what is left out go with it, and what imports them too."""

    def under(path: str, folders: tuple[str, ...]) -> bool:
        return any(PurePath(path).is_relative_to(folder) for folder in folders)

    parts = [PARTS[name] for name in drop]
    left = [path for path in paths if not under(path, NEVER)]
    left = [path for path in left if not any(under(path, part.paths) and path not in part.kept for part in parts)]
    while True:
        missing = {module_of(path) for path in paths if path.endswith(".py")} - {module_of(path) for path in left}
        broken = {
            path
            for path in left
            if path.startswith("tests/") and path.endswith(".py") and imports(source / path) & missing
        }
        if not broken:
            return left
        left = [path for path in left if path not in broken]


def module_of(path: str) -> str:
    """Return the name by which a file is imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: Path) -> set[str]:
    """Return the names that a file imports: modules, and what may be a module in a package."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def without(text: str, path: str, drop: list[str], left_out: set[str]) -> str:
    """Return the text of a file without the lines, targets and links that lead to what is left out."""
    parts = [PARTS[name] for name in drop]
    for file, line in (*ALWAYS, *(pair for part in parts for pair in part.lines)):
        if file == path:
            text = "".join(row for row in text.splitlines(keepends=True) if not re.search(line, row))
    if path in ("pyproject.toml", "Makefile"):
        text = re.sub(r' "template",| template(?=\s)', "", text)
    if path == "recsys/cli/main.py":  # a product is made once
        text = re.sub(r"(?ms)^@app\.command\([^\n]*\ndef init\(.*?(?=^@app)", "", text)
    targets = [target for part in parts for target in part.targets]
    if path == "Makefile":
        for target in targets:
            text = re.sub(rf"(?m)^{target}:.*\n(\t.*\n)*\n?", "", text)
        return re.sub(r"(?m)^\.PHONY:.*", lambda line: " ".join(w for w in line[0].split() if w not in targets), text)
    if path.endswith(".md"):
        text = in_the_template(text, path, targets, left_out)
    return text


def in_the_template(text: str, path: str, targets: list[str], left_out: set[str]) -> str:
    """Return a document whose links to files and targets that are left out are words that say where those are."""

    def link(found: re.Match[str]) -> str:
        target = (PurePath("/") / PurePath(path).parent / found[2].split("#")[0]).as_posix()
        return found[1] if normal(target) in left_out else found[0]

    text = re.sub(r"!?\[([^\]]*)\]\(([^)\s]+)\)", link, text)
    text = re.sub(
        r"(?<![\w/.<])(?:benchmarks|deploy|tests|docs|\.github)/[\w./*-]*\w",
        lambda found: f"template/{found[0]}" if gone(found[0], left_out) else found[0],
        text,
    )
    for target in targets:
        text = re.sub(rf"(?m)^    make {target}\b.*\n", "", text)
        text = re.sub(rf"`make {target}\b", f"`template: make {target}", text)
    return text


def gone(path: str, left_out: set[str]) -> bool:
    """Whether a path, a folder or a pattern leads to files that are left out only."""
    return path in left_out or any(name.startswith(path.split("*")[0]) for name in left_out)


def normal(path: str) -> str:
    """Return a path without `..`, from the top of the repository."""
    parts: list[str] = []
    for part in PurePath(path).parts[1:]:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)
