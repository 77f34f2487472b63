"""The pins of the image: `python -m deploy.lock` writes deploy/requirements-serve.lock from requirements.lock.

It holds what the extra `serve` needs, and nothing of training.
"""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "deploy" / "requirements-serve.lock"
HEADER = "# Written by `make lock`: the part of requirements.lock that the extra serve needs.\n"


def pins() -> dict[str, str]:
    """Canonical name -> line of requirements.lock."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in lines), "a pin reads name==version and nothing else"
    return {canonicalize_name(line.split("==")[0]): line for line in lines}


def closure(extra: str) -> set[str]:
    """Every distribution that `recsys[extra]` needs: ranges of pyproject.toml, metadata of what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"].get(extra, [])]
    seen: set[tuple[str, str]] = set()
    while needed:
        requirement = needed.pop()
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras} - {each for found, each in seen if found == name}:
            seen.add((name, wanted))
            found = [Requirement(text) for text in distribution(name).requires or []]
            needed += [each for each in found if each.marker is None or each.marker.evaluate({"extra": wanted})]
    return {name for name, _ in seen}


def content() -> str:
    """The file as it should be."""
    lines = pins()
    return HEADER + "".join(f"{lines[name]}\n" for name in sorted(closure("serve")))


if __name__ == "__main__":
    LOCK.write_text(content())
