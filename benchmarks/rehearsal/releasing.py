"""Bad releases: promoted by somebody as a canary, promoted at once in a hurry, or damaged on the disk."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.rehearsal.client import settle
from benchmarks.simulator.scrambled import scramble
from recsys.bundle import releases
from recsys.drift import promotion
from recsys.errors import RecsysError
from recsys.output import write_text

if TYPE_CHECKING:
    from benchmarks.rehearsal.month import Month

BROKEN = "0123456789abcdef"


def promote(month: "Month", bundle: Path, share: float) -> None:
    """Promote a bundle as a person would; a refusal is written down."""
    try:
        promotion.promote(bundle, month.releases, None, share if month.loop else 1.0, month.store, "by hand")
    except RecsysError as error:
        month.note("refused", str(error))
        return
    current = releases.current(month.releases).name
    month.wait_for(f'recsys_bundle_info{{bundle_id="{current}"}} 1.0')
    settle(3.0)  # no metric says that a canary is loaded


def _scrambled(month: "Month") -> Path:
    folder = month.folder / "scrambled"
    shutil.rmtree(folder, ignore_errors=True)
    return scramble(month.folder / "bundle", folder)


@contextmanager
def scrambled(month: "Month") -> Iterator[None]:
    """The newest model with the vectors of other items is promoted as a canary."""
    promote(month, _scrambled(month), 0.05)
    yield


@contextmanager
def scrambled_at_once(month: "Month") -> Iterator[None]:
    """The same is promoted without a canary."""
    promote(month, _scrambled(month), 1.0)
    yield


@contextmanager
def stale(month: "Month") -> Iterator[None]:
    """A model of last season is promoted as a canary."""
    promote(month, month.folder / "stale", 0.05)
    yield


@contextmanager
def damaged(month: "Month") -> Iterator[None]:
    """The current release is a copy that broke off."""
    folder = month.releases / BROKEN
    shutil.copytree(releases.current(month.releases), folder)
    catalogue = folder / "catalogue.parquet"
    catalogue.write_bytes(catalogue.read_bytes()[: catalogue.stat().st_size // 2])
    _rewrite(month.releases, lambda stack: [*stack, BROKEN])
    month.wait_for("recsys_release_refused 1.0")
    yield
    _rewrite(month.releases, lambda stack: [each for each in stack if each != BROKEN])
    shutil.rmtree(folder)
    month.wait_for("recsys_release_refused 0.0")


def _rewrite(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    state = json.loads((folder / releases.STATE).read_text())
    write_text(folder / releases.STATE, json.dumps({**state, "stack": change(state["stack"])}))
