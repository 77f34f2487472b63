"""Which room imports from which: docs/results/import_graph.json and import_graph.svg

    python -m benchmarks.structure.import_graph [--before 21a7ebd]

A room of the library is what lies directly in `recsys`: a folder, or a file that stands alone; the API is one room
there. Rooms of the API are what lies directly in `serving`. An arrow: some file of a room imports from another room, be
it by name at run time. A cycle is a group of rooms that all reach each other. Upward: against the layers of
pyproject.toml. `--before` counts an earlier commit beside today's; the picture shows today's and needs graphviz.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks import provenance
from benchmarks.structure import imports
from benchmarks.structure.revision import extracted

MEASURES = ("recsys", "serving")
Arrow = tuple[str, str]
Room = Callable[[str], str]


def main(before: str | None) -> None:
    """Count, draw, write."""
    origin, top = provenance.describe(), provenance.TOP
    arrows = module_arrows(top)
    figures: dict[str, Any] = {"now": {**counts(arrows), "upward": upward(arrows, layers(top))}}
    if before:
        with tempfile.TemporaryDirectory() as folder:
            figures["before"] = {"revision": before, **counts(module_arrows(extracted(before, Path(folder))))}
    provenance.write("import_graph", origin, figures, provenance.DOCS)
    (provenance.DOCS / "import_graph.svg").write_bytes(drawn(arrows, layers(top)))
    print(figures)


def module_arrows(top: Path) -> set[Arrow]:
    """(importer, imported) for all modules of recsys and serving; a module that imports nothing points to itself."""
    arrows = set()
    for path in [file for package in ("recsys", "serving") for file in (top / package).rglob("*.py")]:
        name = ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__")
        named = {module for module in imports.modules(path) if imports.file_of(top, module)}
        named |= {f"recsys.{folder}" for folder in imports.folders_by_name(top, path)}
        arrows |= {(name, module) for module in named if module.split(".")[0] in ("recsys", "serving")} | {(name, name)}
    return arrows


def library_room(module: str) -> str:
    """`recsys.data` for recsys.data.split, `serving` for the API, none for `recsys` itself: every import runs it."""
    room = ".".join(module.split(".")[:2])
    return room if room.startswith("recsys.") else room.split(".")[0].removesuffix("recsys")


def api_room(module: str) -> str:
    """`serving.engine` for serving.engine.arms; none for the library."""
    return ".".join(module.split(".")[:2]) if module.startswith("serving.") else ""


def counts(arrows: set[Arrow]) -> dict[str, dict[str, int]]:
    """Rooms, arrows and cycles of the library and of the API."""
    return {name: _counts(arrows, room) for name, room in (("library", library_room), ("api", api_room))}


def _counts(arrows: set[Arrow], room: Room) -> dict[str, int]:
    rooms, between = among(arrows, room)
    place = {name: at for at, name in enumerate(rooms)}
    ends = np.array([[place[importer], place[imported]] for importer, imported in between]).reshape(-1, 2)
    matrix = csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(rooms), len(rooms)))
    groups = connected_components(matrix, connection="strong")[1]
    return {"rooms": len(rooms), "arrows": len(between), "cycles": int((np.bincount(groups) > 1).sum())}


def among(arrows: set[Arrow], room: Room) -> tuple[list[str], list[Arrow]]:
    """Rooms and the arrows between them, sorted."""
    pairs = {(room(importer), room(imported)) for importer, imported in arrows}
    rooms = sorted({importer for importer, _ in pairs} - {""})
    return rooms, sorted(pair for pair in pairs if pair[0] != pair[1] and "" not in pair)


def layers(top: Path) -> dict[str, int]:
    """Module -> its layer, 0 the highest, of the contracts in pyproject.toml; the API lies above the library."""
    contracts = tomllib.loads((top / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found: dict[str, int] = {}
    for package in ("serving", "recsys"):
        (own,) = [one["layers"] for one in contracts if one.get("containers") == [package]]
        first = len(set(found.values()))
        found |= {f"{package}.{name}": first + at for at, line in enumerate(own) for name in line.split(" | ")}
    return found


def upward(arrows: set[Arrow], layer: dict[str, int]) -> int:
    """How many pairs of listed modules import against the order of the layers."""

    def listed(module: str) -> str | None:
        parts = module.split(".")
        return next((name for n in (3, 2) if (name := ".".join(parts[:n])) in layer), None)

    pairs = {(listed(importer), listed(imported)) for importer, imported in arrows}
    return sum(layer[a] > layer[b] for a, b in pairs if a is not None and b is not None)


def drawn(arrows: set[Arrow], layer: dict[str, int]) -> bytes:
    """SVG: the rooms of the library by layer; arrows that follow from others are pale."""
    rooms, between = among(arrows, library_room)
    below = {room: {b for a, b in between if a == room} for room in rooms}
    lines = ["digraph rooms {", "rankdir=TB; ranksep=0.6; node [shape=box, style=rounded, fontname=Helvetica];"]
    heights: dict[int, list[str]] = {}
    for room in rooms:
        heights.setdefault(layer.get(room, layer.get(f"{room}.analysis", 0)), []).append(room)
    for _, beside in sorted(heights.items()):
        lines.append("{rank=same; " + "; ".join(f'"{room}"' for room in beside) + "}")
    lines += [f'"{room}" [label="{room.removeprefix("recsys.")}"];' for room in rooms]
    for room in rooms:
        follows = set().union(*(_reach(below, other) for other in below[room]))
        for other in sorted(below[room]):
            style = 'color="#d5d5d5"' if other in follows else 'color="#3567a6", penwidth=1.4'
            lines.append(f'"{room}" -> "{other}" [{style}];')
    text = "\n".join([*lines, "}"])
    try:
        return subprocess.run(["dot", "-Tsvg"], input=text.encode(), check=True, capture_output=True).stdout
    except FileNotFoundError:
        sys.exit("error: `dot` is not installed; on Debian: apt-get install graphviz")


def _reach(below: dict[str, set[str]], room: str) -> set[str]:
    """Rooms that `room` imports from, or that those do, and so on."""
    found: set[str] = set()
    todo = [*below[room]]
    while todo:
        if (other := todo.pop()) not in found:
            found.add(other)
            todo += below[other]
    return found


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--before", help="a commit to compare with")
    main(options.parse_args().before)
