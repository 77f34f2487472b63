"""Hooks of MkDocs (see mkdocs.yml): what the site shows beside the pages of `docs/`.

- README (the front page), CONTRIBUTING, CHANGELOG and SECURITY from the top of the repository;
- the list of decisions;
- the API reference, a page for each package, from the docstrings;
- a page with the text of every file of the repository that a page links to;
- the script that draws diagrams, from the package `mermaidx` in place of a CDN.

`Doctests` shows the examples in docstrings as code.
"""

import posixpath
import re
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TOP_PAGES = {
    "index.md": "README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#])")
EXAMPLE = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.M | re.S)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json", ".sh": "bash"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the generated pages to the navigation."""
    assert config.nav is not None
    config.nav += [
        {
            "Decisions": [
                "decisions/index.md",
                *sorted(f"decisions/{path.name}" for path in (DOCS / "decisions").glob("0*.md")),
            ]
        },
        {"API reference": [{package: f"reference/{package}.md"} for package in packages()]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {name: (ROOT / source).read_text(encoding="utf-8") for name, source in TOP_PAGES.items()}
    pages["decisions/index.md"] = decisions()
    pages |= {f"reference/{package}.md": reference(package) for package in packages()}
    written = pages | {file.src_uri: file.content_string for file in files.documentation_pages()}
    for source in sorted({link for name, text in written.items() for link in linked_sources(name, text)}):
        pages[f"source/{source}.md"] = source_page(source)
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    script = package_files("mermaidx") / "assets" / "mermaid.js"
    files.append(File.generated(config, "assets/mermaid.js", content=script.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at files of the repository to the pages made of them."""
    here = page.file.src_uri

    def to_page(link: re.Match[str]) -> str:
        return posixpath.relpath(page_of(target(here, link[1])), posixpath.dirname(here) or ".")

    return markdown if here.startswith("source/") else LINK.sub(to_page, markdown)


def target(page: str, link: str) -> str:
    """The path from the top of the repository that a link on a page leads to."""
    folder = "" if page in TOP_PAGES else posixpath.join("docs", posixpath.dirname(page))
    return posixpath.normpath(posixpath.join(folder, link))


def page_of(path: str) -> str:
    """The page, or the file of `docs/`, that shows a path of the repository."""
    for page, source in TOP_PAGES.items():
        if path == source:
            return page
    if path == "docs/decisions":
        return "decisions/index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}.md"


def linked_sources(page: str, text: str) -> set[str]:
    """Files of the repository, outside of `docs/`, that a page links to."""
    if page.startswith("reference/"):
        return set()
    paths = {target(page, link) for link in LINK.findall(text)}
    return {path for path in paths if page_of(path).startswith("source/")}


def source_page(path: str) -> str:
    """One file as a page."""
    text = (ROOT / path).read_text(encoding="utf-8")
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {path}\n\n`````{language}\n{text}\n`````\n"


def decisions() -> str:
    """The list of decisions."""
    lines = []
    for path in sorted((DOCS / "decisions").glob("0*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "# Decisions\n\nWhy things are as they are: half a page each.\n\n" + "\n".join(lines) + "\n"


def packages() -> list[str]:
    """Every package of the library and of the API."""
    folders = {path.parent for top in ("recsys", "serving") for path in (ROOT / top).rglob("__init__.py")}
    return sorted(".".join(folder.relative_to(ROOT).parts) for folder in folders if not folder.name.startswith("_"))


def reference(package: str) -> str:
    """The page of a package: all its modules."""
    folder = ROOT.joinpath(*package.split("."))
    modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    blocks = [f"::: {package}\n    options: {{members: [], show_root_heading: false}}"] + [
        f"::: {package}.{module}" for module in modules
    ]
    return f"# {package}\n\n" + "\n\n".join(blocks) + "\n"


class Doctests(griffe.Extension):
    """Put code fences around the examples of a docstring."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of one module, class or function before it is parsed."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
