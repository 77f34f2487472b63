"""Shares releases between hosts: their state through the channel, their bundles through a folder or object storage.

The channel is a table of the event store that all hosts read (`recsys/schemas/channel.py`). An address is any that
fsspec opens, such as s3://bucket/releases (extra `s3`); the bundle with the id <id> is in <address>/<id>.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recsys.bundle import releases
from recsys.bundle.bundle import MANIFEST, SIGNATURE, UNTRUSTED, read_manifest
from recsys.errors import BundleError, one_line
from recsys.output import locked, replaced, write_text
from recsys.schemas import channel

URL_VARIABLE = "RECSYS_RELEASES_URL"


def fetch(address: str, folder: Path, public_key: str | None = None) -> str:
    """Copy a bundle from an address into an empty folder, verify it, and return its id.

    The signature is checked first, if there is a public key (base64); only files that the manifest lists are copied.

    Raises:
        BundleError: "s3://bucket/releases/1f...: cannot be copied (...); ...", or an error of `releases.verify`.
    """
    with _opened(address) as (files, root):
        for name in (MANIFEST, SIGNATURE):
            if name == MANIFEST or files.exists(f"{root}/{name}"):
                files.get_file(f"{root}/{name}", str(folder / name))
        releases.check_signature(folder, public_key)
        for file in read_manifest(folder).files:
            path = folder / file.path
            if not path.resolve().is_relative_to(folder.resolve()):
                raise BundleError(f"{address}/{MANIFEST}: {file.path!r} points outside of the bundle; {UNTRUSTED}")
            path.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(f"{root}/{file.path}", str(path))
    return releases.verify(folder, public_key)


def upload(folder: Path, address: str) -> None:
    """Copy a bundle to an address, its manifest last, so that a bundle with a manifest is complete there.

    Raises:
        BundleError: "s3://bucket/releases/1f...: cannot be copied (...); ..."
    """
    with _opened(address) as (files, root):
        names = [file.path for file in read_manifest(folder).files]
        names += [name for name in (SIGNATURE, MANIFEST) if (folder / name).is_file()]
        for name in names:
            files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            files.put_file(str(folder / name), f"{root}/{name}")


@contextmanager
def local_copy(source: str, public_key: str | None = None) -> Iterator[Path]:
    """Yield the local folder of a bundle. source: a folder, or an address, of which a temporary copy is made."""
    if "://" not in source:
        yield Path(source)
        return
    with TemporaryDirectory(prefix="recsys-bundle-") as folder:
        fetch(source, Path(folder), public_key)
        yield Path(folder)


@contextmanager
def shared(folder: Path, store: str, why: str = "", public_key: str | None = None) -> Iterator[None]:
    """Update the releases in `folder` from the channel, run the block, and send the state after it to all hosts.

    Without RECSYS_CHANNEL=store only the block is run. If RECSYS_RELEASES_URL is set, the bundles that are served are
    copied there. After an error no other host has the change, and the next call undoes the change in the folder.
    store: the URL of the event store; why: the reason for the change, for the log of the channel.

    Raises:
        SourceUnreachableError, ParamsError: see `channel.put`. BundleError: see `fetch`.
    """
    if not channel.enabled():
        yield
        return
    path, before = folder / releases.STATE, channel.newest(store, "releases")
    if before is not None:
        state = releases.of_text(before.body, "the releases in the store")
        for bundle_id in [*state.stack[-2:], *([state.canary.bundle_id] if state.canary else [])]:
            source = releases.source(folder, state, bundle_id)
            if isinstance(source, str):
                with locked(folder), replaced(folder / bundle_id) as aside:
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
    """Yield the fsspec file system of an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        yield url_to_fs(address.rstrip("/"))
    except BundleError:
        raise
    except Exception as error:  # each file system has errors of its own
        cure = "pip install 'recsys[s3]'" if isinstance(error, ImportError) else "check that you can access it"
        raise BundleError(f"{address}: cannot be copied ({one_line(str(error))}); {cure}") from error
