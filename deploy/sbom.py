"""What is in the image: `python deploy/sbom.py FOLDER` writes FOLDER/sbom.cdx.json and FOLDER/licences.txt.

The first is CycloneDX 1.6 with the packages of Python and of Debian; the second holds the licence of each Python
package as its metadata says, and Debian's are in /usr/share/doc/*/copyright. `deploy/Dockerfile` runs this file alone,
so it imports nothing but the standard library.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

NO_LICENCE = "UNKNOWN"
DPKG = ("dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\\n")


def main(folder: Path) -> None:
    """Write both files."""
    packages = {python["name"]: python for python in map(of_python, distributions())}
    components = [packages[name] for name in sorted(packages)] + of_debian()
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    (folder / "sbom.cdx.json").write_text(json.dumps(bom, indent=1) + "\n")
    lines = [f"{name} {packages[name]['version']}: {licence_of(packages[name])}\n" for name in sorted(packages)]
    (folder / "licences.txt").write_text("".join(lines))


def of_python(distribution: Distribution) -> dict[str, Any]:
    """The component of an installed Python package."""
    name = re.sub(r"[-_.]+", "-", distribution.name).lower()
    purl = f"pkg:pypi/{name}@{quote(distribution.version)}"
    component = {"type": "library", "bom-ref": purl, "name": name, "version": distribution.version, "purl": purl}
    metadata = distribution.metadata
    if expression := metadata.get_all("License-Expression"):  # SPDX
        return {**component, "licenses": [{"expression": expression[0]}]}
    classifiers = metadata.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    texts = [text.strip().partition("\n")[0] for text in metadata.get_all("License") or []]
    licences = named or [text for text in texts if text] or [NO_LICENCE]
    return {**component, "licenses": [{"license": {"name": each}} for each in licences]}


def licence_of(component: dict[str, Any]) -> str:
    """The licences of a component in one line."""
    return ", ".join(each.get("expression") or each["license"]["name"] for each in component["licenses"])


def of_debian() -> list[dict[str, Any]]:
    """The components of the installed Debian packages."""
    lines = subprocess.run(DPKG, check=True, capture_output=True, text=True).stdout.splitlines()
    components = []
    for name, version, architecture in sorted(line.split() for line in lines):
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"
        components.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    return components


if __name__ == "__main__":
    main(Path(sys.argv[1]))
