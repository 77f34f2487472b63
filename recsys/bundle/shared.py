"""Shares releases between hosts: their state through the channel, their bundles in a folder or an object storage.

An address is anything that fsspec opens, such as s3://bucket/releases (extra `s3`); a bundle lies in `<address>/<id>`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recsys.bundle import releases
from recsys.bundle.bundle import MANIFEST, SIGNATURE, read_manifest
from recsys.errors import BundleError, one_line
from recsys.output import replaced, write_text
from recsys.schemas import channel

URL_VARIABLE = "RECSYS_RELEASES_URL"


def is_address(source: str) -> bool:
    """Return whether a bundle lies elsewhere: `s3://bucket/bundle` does, `releases/1f...` does not."""
    return "://" in source


def fetch(address: str, folder: Path, public_key: str | None = None) -> str:
    """Copy a bundle from an address into an empty folder, and verify it. Returns its id.

    The manifest is checked first, and its signature if there is a public key; only the files that it names are read.

    Raises:
        BundleError: "s3://bucket/releases/1f...: cannot be fetched (...)", or see `releases.verify`.
    """
    with _opened(address) as (files, root):
        for name in (MANIFEST, SIGNATURE):
            if name == MANIFEST or files.exists(f"{root}/{name}"):
                files.get_file(f"{root}/{name}", str(folder / name))
        releases.check_signature(folder, public_key)
        for file in read_manifest(folder).files:
            path = folder / file.path
            if not path.resolve().is_relative_to(folder.resolve()):
                raise BundleError(
                    f"{address}/{MANIFEST}: {file.path!r} points outside of the bundle; refuse this bundle"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(f"{root}/{file.path}", str(path))
    return releases.verify(folder, public_key)


def upload(folder: Path, address: str) -> None:
    """Copy a bundle to an address, the manifest last: what can be read there is complete. Raises as `fetch` does."""
    with _opened(address) as (files, root):
        names = [file.path for file in read_manifest(folder).files]
        names += [name for name in (SIGNATURE, MANIFEST) if (folder / name).is_file()]
        for name in names:
            files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            files.put_file(str(folder / name), f"{root}/{name}")


@contextmanager
def at_hand(source: str, public_key: str | None = None) -> Iterator[Path]:
    """Give the folder of a bundle: the source itself, or a temporary copy of what lies at an address."""
    if not is_address(source):
        yield Path(source)
        return
    with TemporaryDirectory(prefix="recsys-bundle-") as folder:
        fetch(source, Path(folder), public_key)
        yield Path(folder)


@contextmanager
def shared(folder: Path, store: str, why: str = "", public_key: str | None = None) -> Iterator[None]:
    """Bring the folder to the state of the channel, run the block, and give all hosts the state that it leaves.

    Does nothing without RECSYS_CHANNEL=store. With RECSYS_RELEASES_URL the bundles that are served are copied there. If
    something fails, no host has the change, and the next call takes it back in the folder.

    Raises:
        SourceUnreachableError, ParamsError: see `channel.put`. BundleError: see `fetch`.
    """
    if not channel.enabled():
        yield
        return
    path, before = folder / releases.STATE, channel.newest(store, "releases")
    if before is not None:
        state = releases.of_text(before.body, "the releases of the channel")
        for bundle_id in [*state.stack[-2:], *([state.canary.bundle_id] if state.canary else [])]:
            source = releases.source(folder, state, bundle_id)
            if isinstance(source, str):
                with replaced(folder / bundle_id) as aside:
                    fetch(source, aside, public_key)
        write_text(path, before.body, durable=True)
    yield
    state, url = releases.read(folder), os.environ.get(URL_VARIABLE)
    for bundle_id in {*state.stack[-1:], *([state.canary.bundle_id] if state.canary else [])} if url else ():
        upload(folder / bundle_id, f"{url}/{bundle_id}")
    state = state.model_copy(update={"url": url}) if url else state
    text = state.model_dump_json(indent=1, exclude_none=True) + "\n"
    if state.stack and (before is None or text != before.body):
        channel.put(store, "releases", text, why, before.number if before else 0, state.stack[-1])


@contextmanager
def _opened(address: str) -> Iterator[tuple[Any, str]]:
    """Open the file system of an address; give it, and the path there."""
    try:
        from fsspec.core import url_to_fs

        yield url_to_fs(address.rstrip("/"))
    except BundleError:
        raise
    except Exception as error:  # each file system has errors of its own
        cure = "pip install 'recsys[s3]'" if isinstance(error, ImportError) else "is it there, and may you read it?"
        raise BundleError(f"{address}: cannot be copied ({one_line(str(error))}); {cure}") from error
