"""Signed releases: what the public key accepts, what it refuses, and where that is looked at."""

import json
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recsys.bundle import bundle, releases, signing
from recsys.cli import app
from recsys.errors import BundleError
from tests.support import bundles


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("signing") / "bundle")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "bundle"))


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str]:
    return tmp_path / "signing.pem", signing.keygen(tmp_path / "signing.pem")


def sign(folder: Path, key: Path) -> str:
    return signing.sign(folder / bundle.MANIFEST, folder / bundle.SIGNATURE, key)


def test_a_signed_bundle_is_promoted_and_opened(folder: Path, keys: tuple[Path, str], tmp_path: Path) -> None:
    key, public = keys
    assert sign(folder, key) == public
    bundle_id = releases.promote(folder, tmp_path / "releases", public)
    current = releases.current(tmp_path / "releases")
    assert releases.load(current, public).manifest.bundle_id == bundle_id
    assert releases.load(current).manifest.bundle_id == bundle_id  # no key, no question


def test_an_unsigned_bundle_is_refused(folder: Path, keys: tuple[Path, str], tmp_path: Path) -> None:
    _, public = keys
    for act in (releases.verify, releases.load):
        with pytest.raises(BundleError, match=r"json: missing, and RECSYS_PUBLIC_KEY requires signed bundles"):
            act(folder, public)
    with pytest.raises(BundleError, match="missing"):
        releases.promote(folder, tmp_path / "releases", public)
    assert releases.read(tmp_path / "releases").stack == []


def test_another_key_is_refused_whatever_the_signature_says_of_itself(
    folder: Path, keys: tuple[Path, str], tmp_path: Path
) -> None:
    _, public = keys
    signing.keygen(tmp_path / "thief.pem")
    sign(folder, tmp_path / "thief.pem")
    path = folder / bundle.SIGNATURE
    content = json.loads(path.read_text())
    content["public_key"] = public
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"does not match manifest\.json and the key in RECSYS_PUBLIC_KEY"):
        releases.load(folder, public)


def test_a_bundle_altered_after_signing_is_refused(folder: Path, keys: tuple[Path, str]) -> None:
    """Also one whose manifest was written anew to fit: the hashes alone would not notice."""
    key, public = keys
    sign(folder, key)
    path = folder / bundle.MANIFEST
    content = json.loads(path.read_text())
    content["default_variant"] = "random"
    content["bundle_id"] = bundle._digest(content)
    path.write_text(json.dumps(content))
    bundle.verify(folder)
    with pytest.raises(BundleError, match="does not match"):
        releases.load(folder, public)


def test_a_signed_bundle_with_another_file_is_refused(folder: Path, keys: tuple[Path, str]) -> None:
    key, public = keys
    sign(folder, key)
    with (folder / "catalogue.parquet").open("ab") as file:
        file.write(b"!")
    with pytest.raises(BundleError, match=r"catalogue\.parquet: sha256 is"):
        releases.load(folder, public)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"signature": 5}', '{"signature": "?"}', '{"signature": ""}'])
def test_a_signature_that_is_none(folder: Path, keys: tuple[Path, str], text: str) -> None:
    (folder / bundle.SIGNATURE).write_text(text)
    with pytest.raises(BundleError, match=r"signature\.json: (not a readable signature|does not match)"):
        releases.load(folder, keys[1])


@pytest.mark.parametrize("text", ["?", "c2hvcnQ=", ""])
def test_a_public_key_that_is_none(folder: Path, keys: tuple[Path, str], text: str) -> None:
    sign(folder, keys[0])
    with pytest.raises(BundleError, match=r"RECSYS_PUBLIC_KEY: .* is not an Ed25519 public key, base64 of 32 bytes"):
        releases.load(folder, text)


def test_a_bundle_signed_again_replaces_the_signature_of_its_release(
    folder: Path, keys: tuple[Path, str], tmp_path: Path
) -> None:
    """A new key: sign again, promote again; the release is the same bundle."""
    sign(folder, keys[0])
    first = releases.promote(folder, tmp_path / "releases", keys[1])
    second_public = signing.keygen(tmp_path / "second.pem")
    sign(folder, tmp_path / "second.pem")
    assert releases.promote(folder, tmp_path / "releases", second_public) == first
    assert releases.read(tmp_path / "releases").stack == [first]
    releases.load(tmp_path / "releases" / first, second_public)


def test_the_private_key_is_for_its_owner_and_never_overwritten(keys: tuple[Path, str]) -> None:
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    with pytest.raises(BundleError, match=r"cannot write a new private key there \(File exists\)"):
        signing.keygen(keys[0])


def test_a_private_key_that_is_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("hello")
    for path in (tmp_path / "x.pem", tmp_path / "nowhere.pem"):
        with pytest.raises(BundleError, match="not an Ed25519 private key in PEM"):
            sign(folder, path)


def test_the_commands(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_RELEASES", str(tmp_path / "releases"))
    run = CliRunner().invoke
    made = run(app, ["releases", "keygen", str(tmp_path / "k.pem")])
    public = made.output.strip().rpartition("RECSYS_PUBLIC_KEY=")[2]
    monkeypatch.setenv("RECSYS_PUBLIC_KEY", public)
    assert run(app, ["releases", "promote", str(folder)]).exit_code == 1
    assert public in run(app, ["releases", "sign", str(folder), "--key", str(tmp_path / "k.pem")]).output
    assert run(app, ["releases", "promote", str(folder)]).exit_code == 0
    (tmp_path / "releases" / releases.current(tmp_path / "releases").name / bundle.SIGNATURE).unlink()
    other = bundles.write(tmp_path / "other", made=bundles.vectors() * 2)
    run(app, ["releases", "sign", str(other), "--key", str(tmp_path / "k.pem")])
    assert run(app, ["releases", "promote", str(other)]).exit_code == 0
    refused = run(app, ["releases", "rollback"])  # the one before lost its signature
    assert refused.exit_code == 1
    assert releases.current(tmp_path / "releases").name == bundle.read_manifest(other).bundle_id
