"""`make docs` builds, and a page of it asks nothing of the web."""

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTERNAL = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'>\s]+""")

pytestmark = pytest.mark.skipif(find_spec("mkdocs") is None, reason="the extra docs is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        ["mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    """And is in the navigation: a page that is not ends a strict build."""
    for path in (ROOT / "docs").rglob("*.md"):
        if "examples" not in path.parts:
            assert (site / path.relative_to(ROOT / "docs")).with_suffix(".html").is_file()


def test_nothing_is_loaded_from_the_web(site: Path) -> None:
    found = {path.name: hits for path in site.rglob("*.html") if (hits := EXTERNAL.findall(path.read_text()))}
    assert not found
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.findall(r"""url\(["']?https?:|@import""", styles)


def test_the_reference_shows_docstrings_and_examples_as_code(site: Path) -> None:
    page = (site / "reference" / "recsys.evaluation.html").read_text()
    assert "recsys.evaluation.metrics.recall" in page
    assert '<code><span class="gp">&gt;&gt;&gt; </span>' in page


def test_links_to_files_of_the_repository_show_the_file(site: Path) -> None:
    assert 'href="source/dvc.yaml.html"' in (site / "index.html").read_text()
    assert "foreach" in (site / "source" / "dvc.yaml.html").read_text()


def test_diagrams_are_drawn_by_a_local_script(site: Path) -> None:
    assert '<pre class="mermaid">' in (site / "index.html").read_text()
    assert (site / "assets" / "mermaid.js").stat().st_size > 1_000_000
