"""What `.ci/image` measured is written down and compared with the limits; the image holds a list of its packages."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from benchmarks import image, provenance
from deploy import sbom


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(provenance, "RESULTS", tmp_path)
    file = tmp_path / "packages.txt"
    file.write_text("libc6 2.36-9+deb12u13\npython:numpy 2.4.6\n")
    return file


def written(packages: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((packages.parent / "image.json").read_text())
    return figures


def test_figures_of_the_image(packages: Path) -> None:
    image.main(499_600_000, ready_ms=9_000, ready_cpu_ms=5_000, packages=packages)
    figures = written(packages)
    assert (figures["size_mb"], figures["ready_s"], figures["ready_cpu_s"]) == (500, 9.0, 5.0)
    assert figures["packages"] == {"libc6": "2.36-9+deb12u13", "python:numpy": "2.4.6"}


@pytest.mark.parametrize(("size_bytes", "cpu_ms"), [(501_000_000, 1_000), (1_000_000, 5_010)])
def test_an_image_above_a_limit_is_an_error(packages: Path, size_bytes: int, cpu_ms: int) -> None:
    with pytest.raises(SystemExit, match="too large, or its start takes too long"):
        image.main(size_bytes, ready_ms=1_000, ready_cpu_ms=cpu_ms, packages=packages)
    assert written(packages)["size_mb"] == round(size_bytes / 1e6), "the figures are written all the same"


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="not a Debian machine")
def test_the_list_of_packages_has_what_is_installed_with_its_licence(tmp_path: Path) -> None:
    sbom.main(tmp_path)
    bom = json.loads((tmp_path / "sbom.cdx.json").read_text())
    components = {component["bom-ref"]: component for component in bom["components"]}
    numpy = components[f"pkg:pypi/numpy@{version('numpy')}"]
    assert "BSD-3-Clause" in numpy["licenses"][0]["expression"]
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in components)
    lines = (tmp_path / "licences.txt").read_text().splitlines()
    assert f"numpy {version('numpy')}: {numpy['licenses'][0]['expression']}" in lines
    assert len(lines) == sum("licenses" in component for component in components.values())
