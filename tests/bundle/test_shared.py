"""Bundles elsewhere: what is fetched is complete and verified, or refused, and an API serves it from its own copy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from benchmarks.stores import servers
from recsys.bundle import releases, shared, signing
from recsys.bundle.bundle import MANIFEST, SIGNATURE, read_manifest
from recsys.cli import app
from recsys.errors import BundleError
from recsys.schemas import channel
from serving.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.apps import new_store, until, until_ready


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("shared") / "bundle")


@pytest.fixture(scope="module")
def s3_server() -> Iterator[dict[str, str]]:
    with servers.s3() as environment:
        yield environment


@pytest.fixture(params=["memory", "s3"])
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An address for bundles, of this test alone."""
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    for name, value in request.getfixturevalue("s3_server").items():
        monkeypatch.setenv(name, value)
    bucket = tmp_path.name.replace("_", "-").strip("-")[:50]
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/releases"


def test_what_was_uploaded_is_fetched_and_verified(address: str, bundle_folder: Path, tmp_path: Path) -> None:
    shared.upload(bundle_folder, address)
    (tmp_path / "copy").mkdir()
    assert shared.fetch(address, tmp_path / "copy") == read_manifest(bundle_folder).bundle_id
    for path in bundle_folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "copy" / path.relative_to(bundle_folder)).read_bytes() == path.read_bytes()


def test_what_is_damaged_missing_or_not_signed_is_refused(address: str, bundle_folder: Path, tmp_path: Path) -> None:
    files, root = fsspec.core.url_to_fs(address)
    with pytest.raises(BundleError, match="cannot be copied"):
        shared.fetch(address, _empty(tmp_path / "0"))
    shared.upload(bundle_folder, address)
    key = tmp_path / "key.pem"
    public = signing.keygen(key)
    with pytest.raises(BundleError, match="signature"):
        shared.fetch(address, _empty(tmp_path / "1"), public)
    assert not list((tmp_path / "1").glob("*.parquet")), "nothing but the manifest was read"
    signing.sign(bundle_folder / MANIFEST, bundle_folder / SIGNATURE, key)
    shared.upload(bundle_folder, address)
    shared.fetch(address, _empty(tmp_path / "2"), public)
    (bundle_folder / SIGNATURE).unlink()
    files.pipe_file(f"{root}/catalogue.parquet", b"something else")
    with pytest.raises(BundleError, match=r"catalogue.parquet: sha256 is"):
        shared.fetch(address, _empty(tmp_path / "3"))
    content = json.loads((bundle_folder / MANIFEST).read_text())
    content["files"][0]["path"] = "../outside"
    from recsys.bundle import bundle

    content["bundle_id"] = bundle._digest(content)
    files.pipe_file(f"{root}/{MANIFEST}", json.dumps(content).encode())
    with pytest.raises(BundleError, match="points outside"):
        shared.fetch(address, _empty(tmp_path / "4"))
    assert not (tmp_path / "outside").exists()


def test_hosts_serve_what_was_promoted_to_an_address(
    address: str, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first, second = new_store(tmp_path), tmp_path / "host-1", tmp_path / "host-2"
    monkeypatch.setenv(channel.VARIABLE, "store")
    monkeypatch.setenv(shared.URL_VARIABLE, address)
    monkeypatch.setattr(channel, "LEAD_S", 0.5)
    with shared.shared(first, store):
        old = releases.promote(bundle_folder, first)
    other = bundles.write(tmp_path / "other", made=bundles.vectors() * 2)
    shared.upload(other, f"{address}-else")
    settings: dict[str, Any] = {"store_url": store, "channel": "store", "last_known": tmp_path / "kept"}
    with TestClient(create_app(Settings(releases=second, **settings))) as client:
        assert until_ready(client).get("/readyz").json()["bundle_id"] == old
        done = CliRunner().invoke(
            app, ["releases", "promote", f"{address}-else", "--releases", str(second), "--store", store]
        )
        assert done.exit_code == 0, done.output
        new = read_manifest(other).bundle_id
        until(lambda: client.get("/readyz").json()["bundle_id"] == new)
        with shared.shared(first, store):  # the other host fetches what it needs for that
            releases.rollback(first)
        until(lambda: client.get("/readyz").json()["bundle_id"] == old)
        assert client.post("/v1/recommend", json={"user_id": "anna", "k": 5}).json()["items"]


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
