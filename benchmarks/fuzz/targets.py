"""What is fuzzed. A target takes any bytes; an exception that leaves it is a finding."""

import os
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import recsys  # noqa: F401  # isort: skip  # first: it selects the CPU kernels before numpy is loaded

from benchmarks.bundle_mutants import rehash
from recsys.bundle import bundle
from recsys.business_rules import schema
from recsys.business_rules.filters import grammar
from recsys.business_rules.filters.masks import Filters
from recsys.drift import policies
from recsys.errors import BundleError, FilterError, ParamsError
from recsys.experiments.online import config
from recsys.output import replaced_file
from serving.api import cursors
from serving.api.errors import ApiError

BUNDLE = "FUZZ_BUNDLE"  # the variable with the folder of a bundle
SECRET = "a secret of the fuzzer"
LOADERS: tuple[Callable[[Path], object], ...] = (schema.load, config.load, policies.load)


def filters(data: bytes) -> None:
    """Parse a filter, and evaluate it on the catalogue."""
    with suppress(FilterError):
        text = data.decode(errors="replace")
        grammar.parse(text)
        _filters().mask(text)


def read_cursor(data: bytes) -> None:
    """Decode a cursor: odd first byte: the rest of the bytes is signed before, as by somebody who knows the secret."""
    signed = data[:1] and data[0] % 2
    text = data[1:].decode(errors="replace")
    cursor = cursors._signed(urlsafe_b64encode(data[1:]).rstrip(b"="), SECRET).decode() if signed else text
    with suppress(ApiError):
        shown = cursors.decode(cursor, SECRET)
        if not all(isinstance(item_id, str) for item_id in shown):
            raise AssertionError("not only texts in a cursor")


def followed_file(data: bytes) -> None:
    """Load rules, experiments or policies, by the first byte."""
    path = _folder() / "followed.yaml"
    path.write_bytes(data[1:])
    with suppress(ParamsError):
        LOADERS[(data[0] if data else 0) % len(LOADERS)](path)


def load_bundle(data: bytes) -> None:
    """Load a bundle with bytes replaced in one file, chosen by the first byte; its manifest fits.

    Bytes 1 to 3 say where, the fourth how many are replaced by the rest.
    """
    data = data.ljust(4, b"\0")
    folder, originals = _bundle()
    names = sorted(originals)
    name = names[data[0] % len(names)]
    content = originals[name]
    at = int.from_bytes(data[1:4]) % (len(content) + 1)
    _replace(folder / name, content[:at] + data[5:] + content[at + (data[4] if len(data) > 4 else 0) :])
    try:
        with suppress(BundleError):
            if name != bundle.MANIFEST:
                rehash(folder)
            bundle.load(folder)
    finally:
        for restored in (name, bundle.MANIFEST):
            _replace(folder / restored, originals[restored])


def _replace(path: Path, content: bytes) -> None:
    """Write a new file, not into the old one, which may be mapped."""
    with replaced_file(path) as written:
        written.write_bytes(content)


@lru_cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


@lru_cache
def _bundle() -> tuple[Path, dict[str, bytes]]:
    source, folder = Path(os.environ[BUNDLE]), _folder() / "bundle"
    originals = {path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    for name, content in originals.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _replace(folder / name, content)
    return folder, originals


@lru_cache
def _filters() -> Filters:
    return Filters(bundle.load(_bundle()[0]).catalogue)


TARGETS = {"filter": filters, "cursor": read_cursor, "yaml": followed_file, "bundle": load_bundle}
SEEDS = {
    "filter": [b'category in ("a", "b") and not price < 5', b"available = true or (price between 1 and 2e3)"],
    "cursor": [b'\x01["kitchen-1","a"]', b"\x01[1,null]", b"\x00WyJhIl0.abc", b'\x01{"a":"b"}'],
    "yaml": [
        b"\0block: {items: [a], filters: ['price < 5']}\nboost:\n- {filter: 'category = \"a\"', factor: 2}\n",
        b"\1experiments:\n  home:\n    arms: {a: {variant: als, weight: 0.5}, b: {variant: popular, weight: 0.5}}\n",
        b"\2policies:\n  model: {action: tell, moved: 0.2}\n",
        b"\0a: &a [x, x]\nb: [*a, *a]\n",
    ],
    "bundle": [bytes([name, 0, 0, at, 2, 255, 255]) for name in range(40) for at in (0, 9, 100)],
}
