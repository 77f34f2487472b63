"""Files that are broken under a running server: releases, and what people write."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.serving.faults.place import Place
from recsys.output import write_text

# 9 ** 9 times "x" if somebody follows every name
ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


@contextmanager
def release_half_written(place: Place) -> Iterator[None]:
    """The current release is a copy that broke off; afterwards the release before it is current again."""
    releases = place.folder / "releases"
    before = (releases / "state.json").read_text()
    state = json.loads(before)
    broken = releases / "0123456789abcdef"
    shutil.copytree(releases / state["stack"][-1], broken)
    catalogue = broken / "catalogue.parquet"
    catalogue.write_bytes(catalogue.read_bytes()[: catalogue.stat().st_size // 2])
    write_text(releases / "state.json", json.dumps({**state, "stack": [*state["stack"], broken.name]}))
    try:
        yield
    finally:
        write_text(releases / "state.json", before)
        shutil.rmtree(broken)


def served(how: str) -> Callable[[Place], AbstractContextManager[None]]:
    """Every file of the current release is broken in place, as a copying program or a disk would; then it is whole."""

    @contextmanager
    def broken(place: Place) -> Iterator[None]:
        releases = place.folder / "releases"
        folder = releases / json.loads((releases / "state.json").read_text())["stack"][-1]
        kept = place.folder / "kept"
        shutil.copytree(folder, kept)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in paths:
            _break(path, how)
        try:
            yield
        finally:
            for path in paths:
                path.chmod(0o644)
                with (kept / path.relative_to(folder)).open("rb") as source, path.open("r+b") as target:
                    shutil.copyfileobj(source, target)
                    target.truncate()
            shutil.rmtree(kept)

    return broken


def _break(path: Path, how: str) -> None:
    if how == "truncate":
        os.truncate(path, 0)
    elif how == "rewrite":
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(b"\xa5" * size)
    else:
        path.chmod(0)


def written(name: str, text: str) -> Callable[[Place], AbstractContextManager[None]]:
    """A followed file holds this text, written in place; afterwards it is as it was before."""

    @contextmanager
    def rewritten(place: Place) -> Iterator[None]:
        path = place.folder / name
        before = path.read_text()
        path.write_text(text)
        try:
            yield
        finally:
            path.write_text(before)

    return rewritten
