"""A bundle is what its manifest says, or it is refused with the reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.errors import BundleError
from recsys.output import file_hash
from tests.support import bundles


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "bundle")
    return tmp_path / "bundle"


def edit(folder: Path, change: Callable[[dict[str, Any]], None], sign: bool = True) -> None:
    """Change the manifest; `sign` makes bundle_id fit again, as someone who knows the code would."""
    path = folder / bundle.MANIFEST
    content = json.loads(path.read_text())
    change(content)
    if sign:
        content["bundle_id"] = bundle._digest(content)
    path.write_text(json.dumps(content))


def test_what_was_written_is_what_is_loaded(folder: Path) -> None:
    loaded = bundle.load(folder)
    assert loaded.manifest.dataset == "hand-made"
    assert loaded.manifest.trained_until == bundles.NOW
    assert loaded.manifest.counts == {"items": 24, "users": 8, "interactions": loaded.manifest.counts["interactions"]}
    assert loaded.manifest.event_weights == {"view": 1.0, "purchase": 5.0, "rating": 0.0}
    assert loaded.manifest.models["als"]["dim"] == 3
    assert loaded.catalogue.ids.position("ünï çødé/23?") == 23
    assert loaded.histories.of("żółw/🐢").rows.tolist() == [4, 23]
    np.testing.assert_array_equal(loaded.models["als"].embeddings.vectors, bundles.vectors())
    assert loaded.models["als"].index.search(np.array([1, 0, 0], dtype=np.float32), 3)[0].dtype == np.int32


def test_every_file_is_in_the_manifest(folder: Path) -> None:
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    listed = [file.path for file in bundle.read_manifest(folder).files]
    assert sorted(listed) == sorted(there - {bundle.MANIFEST})


def test_the_same_input_gives_the_same_bytes(original: Path, tmp_path: Path) -> None:
    again = bundles.write(tmp_path / "again")
    for path in sorted(original.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(original)).read_bytes(), path


def test_another_input_gives_another_id(original: Path, tmp_path: Path) -> None:
    other = bundles.write(tmp_path / "other", made=bundles.vectors() * 2)
    assert bundle.read_manifest(other).bundle_id != bundle.read_manifest(original).bundle_id


@pytest.mark.parametrize(
    "name", ["catalogue.parquet", "models/als/index.faiss", "histories/rows.npy", "items/text.npy"]
)
def test_one_changed_byte_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: sha256 is .* the manifest says .*; copy the bundle again"):
        bundle.load(folder)


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "models" / "als" / "vectors.npy").unlink()
    with pytest.raises(BundleError, match=r"vectors\.npy: named in the manifest but missing; copy the bundle again"):
        bundle.load(folder)


def test_a_manifest_edited_by_hand_is_refused(folder: Path) -> None:
    edit(folder, lambda content: content.update(default_variant="random"), sign=False)
    with pytest.raises(BundleError, match=r"does not match its bundle_id '.*', so it was changed or damaged"):
        bundle.load(folder)


def test_a_bundle_of_the_version_before_loads(folder: Path) -> None:
    assert bundle.read_manifest(folder).warm_events == 5
    edit(folder, lambda content: content.update(warm_events=7))
    assert bundle.load(folder).manifest.warm_events == 7
    for name in ("warm_events", "data_hash"):
        edit(folder, lambda content, name=name: content.pop(name))  # type: ignore[misc]
    before = bundle.load(folder).manifest
    assert (before.warm_events, before.data_hash) == (5, None)


def test_the_hash_of_the_data_is_that_of_names_and_contents(tmp_path: Path) -> None:
    hashes: list[str] = []
    for name, content in (("a", "1"), ("b", "1"), ("b", "2")):
        folder = tmp_path / str(len(hashes))
        folder.mkdir()
        (folder / name).write_text(content)
        hashes.append(bundle.hash_of(folder))
    assert len(set(hashes)) == 3
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "b").write_text("2")
    assert bundle.hash_of(tmp_path / "again") == hashes[2]


@pytest.mark.parametrize("found", [2, "1", None])
def test_an_unknown_format_is_refused_with_what_can_be_read(folder: Path, found: Any) -> None:
    edit(folder, lambda content: content.update(format=found))
    with pytest.raises(BundleError, match=f"format is {found!r}, this code reads 1; build the bundle again"):
        bundle.load(folder)


@pytest.mark.parametrize("outside", ["../secret", "models/../../secret", "/etc/hostname"])
def test_a_path_outside_of_the_bundle_is_refused(folder: Path, outside: str) -> None:
    (folder.parent / "secret").write_text("secret")
    edit(folder, lambda content: content["files"].append({"path": outside, "sha256": "0" * 64, "bytes": 6}))
    with pytest.raises(BundleError, match=f"'{outside}' points outside of the bundle; the bundle is not used"):
        bundle.load(folder)


@pytest.mark.parametrize("name", ["items/text.npy", "items"])
def test_a_link_is_refused(folder: Path, name: str) -> None:
    """Also one to the right content: what it points to can change after the check."""
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")
    with pytest.raises(BundleError, match=f"{name}: a symbolic link, a bundle holds plain files"):
        bundle.load(folder)


def test_a_model_whose_name_leaves_the_bundle_is_refused(folder: Path) -> None:
    shutil.copytree(folder / "models" / "als", folder.parent / "als")

    def rename(content: dict[str, Any]) -> None:
        content["models"]["../../als"] = content["models"].pop("als")

    edit(folder, rename)
    with pytest.raises(BundleError, match=r"manifest\.json: models\.\.\./\.\./als.*should match pattern"):
        bundle.load(folder)


def test_a_file_that_the_manifest_does_not_list_is_not_trusted(folder: Path) -> None:
    def forget(content: dict[str, Any]) -> None:
        content["files"] = [file for file in content["files"] if file["path"] != "models/als/vectors.npy"]

    edit(folder, forget)
    with pytest.raises(BundleError, match=r"vectors\.npy: the manifest does not name this file; copy"):
        bundle.load(folder)


def test_a_pickle_is_never_read(folder: Path) -> None:
    path = folder / "models" / "als" / "gram.npy"
    np.save(path, np.array([{"an": "object"}], dtype=object), allow_pickle=True)

    def sign(content: dict[str, Any]) -> None:
        for file in content["files"]:
            if file["path"] == "models/als/gram.npy":
                file["sha256"] = file_hash(path)

    edit(folder, sign)
    with pytest.raises(BundleError, match="not a readable array"):
        bundle.load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1'])
def test_a_manifest_that_is_none(folder: Path, text: str) -> None:
    (folder / bundle.MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json: (not a readable manifest|format is \[\])"):
        bundle.load(folder)


def test_a_manifest_with_an_unknown_key_names_it(folder: Path) -> None:
    edit(folder, lambda content: content.update(colour="blue"))
    with pytest.raises(BundleError, match=r"manifest\.json: unknown key 'colour'"):
        bundle.load(folder)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a readable manifest"):
        bundle.load(tmp_path / "nowhere")


def test_a_bundle_that_cannot_be_completed_leaves_the_old_one_alone(folder: Path) -> None:
    before = bundle.read_manifest(folder)
    users = bundles.catalogue().select(user_id="item_id")
    missing = {"als": (folder.parent / "no model", folder.parent / "no index")}
    parts = bundle.Parts(bundles.interactions(), bundles.catalogue(), users, bundles.NOW.timestamp(), missing)
    with pytest.raises(BundleError, match="no model: no such folder, a bundle needs it; run `dvc repro`"):
        bundle.write(parts, bundles.settings(), {}, folder)
    assert bundle.verify(folder) == before
