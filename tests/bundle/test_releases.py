"""Promote, roll back, and what is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from recsys import params
from recsys.bundle import bundle, releases
from recsys.cli import app
from recsys.errors import BundleError, ParamsError
from tests.support import bundles

TOP = Path(__file__).parents[2]


def make(folder: Path, n_items: int) -> str:
    """A bundle without models: enough to release."""
    settings = params.load(TOP / "params.yaml").model_copy(update={"dataset": "synthetic"})
    first_seen = pl.Series([datetime(2024, 1, 1, tzinfo=UTC)] * n_items, dtype=pl.Datetime("us", "UTC"))
    catalogue = pl.DataFrame({"row": range(n_items), "item_id": [f"i{row}" for row in range(n_items)]}).with_columns(
        available=pl.lit(True), first_seen=first_seen
    )
    interactions = pl.DataFrame(
        {"user_row": [0], "item_row": [0], "timestamp": first_seen[:1], "weight": [1.0]},
        schema_overrides={"user_row": pl.Int32, "item_row": pl.Int32, "weight": pl.Float32},
    )
    users = pl.DataFrame({"user_row": [0], "user_id": ["u"]})
    parts = bundle.Parts(interactions, catalogue, users, datetime(2024, 2, 1, tzinfo=UTC).timestamp(), {})
    return bundle.write(parts, settings, {}, folder).bundle_id


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    make(tmp_path / "one", 3)
    make(tmp_path / "two", 4)
    return tmp_path / "one", tmp_path / "two"


def test_the_same_input_gives_the_same_id_and_another_input_another(tmp_path: Path) -> None:
    assert make(tmp_path / "a", 3) == make(tmp_path / "b", 3) != make(tmp_path / "c", 4)


def test_promote_and_roll_back(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    first, second = releases.promote(two[0], folder), releases.promote(two[1], folder)
    assert releases.current(folder) == folder / second
    assert bundle.load(releases.current(folder)).manifest.bundle_id == second
    assert releases.rollback(folder) == first
    assert releases.current(folder) == folder / first
    assert [(entry.action, entry.bundle_id) for entry in releases.read(folder).log] == [
        ("promote", first),
        ("promote", second),
        ("rollback", first),
    ]
    with pytest.raises(BundleError, match=f"no release before the current one \\({first}\\)"):
        releases.rollback(folder)


def test_promoting_the_current_bundle_again_changes_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    releases.promote(two[0], folder)
    before = (folder / "state.json").read_bytes()
    releases.promote(two[0], folder)
    assert (folder / "state.json").read_bytes() == before


def test_an_altered_bundle_is_refused_and_the_current_one_stays(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    first = releases.promote(two[0], folder)
    with (two[1] / "catalogue.parquet").open("ab") as file:
        file.write(b"!")
    with pytest.raises(BundleError, match=r"catalogue\.parquet: sha256 is .* copy the bundle again"):
        releases.promote(two[1], folder)
    assert releases.current(folder) == folder / first


def test_rolling_back_to_a_broken_release_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    first, second = releases.promote(two[0], folder), releases.promote(two[1], folder)
    (folder / first / "items" / "text.npy").unlink()
    with pytest.raises(BundleError, match=r"text\.npy: named in the manifest but missing"):
        releases.rollback(folder)
    assert releases.current(folder) == folder / second


def test_a_release_that_broke_is_repaired_by_promoting_it_again(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    first = releases.promote(two[0], folder)
    (folder / first / "items" / "text.npy").unlink()
    assert releases.promote(two[0], folder) == first
    assert releases.verify(folder / first) == first


def test_old_releases_and_what_a_killed_promotion_left_are_deleted(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    old, new = (releases.promote(made, folder) for made in two)
    (folder / f"{old}.partial" / "models").mkdir(parents=True)
    assert releases.prune(folder, 1) == [old]
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [new]


@pytest.mark.parametrize("odd", ["../../etc", "/etc", "0123456789abcdeg", ""])
def test_a_state_that_points_elsewhere_is_refused(tmp_path: Path, odd: str) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"stack": [odd], "log": []}), encoding="utf-8")
    with pytest.raises(ParamsError, match=r"state\.json: stack\.0.*should match pattern"):
        releases.current(tmp_path)


def test_nothing_promoted_and_an_unreadable_state(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing was promoted yet; run `recsys releases promote bundle`"):
        releases.current(tmp_path)
    (tmp_path / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match=r"state\.json: not readable"):
        releases.current(tmp_path)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = bundles.write(tmp_path / "one"), bundles.write(tmp_path / "two", allow_repeat=True)
    unable = tmp_path / "unable"
    make(unable, 3)  # its variants ask a model that it does not have
    monkeypatch.setenv("RECSYS_RELEASES", str(tmp_path / "releases"))
    run = CliRunner().invoke
    assert "no releases yet" in run(app, ["releases", "list"]).output
    assert "current release: " in run(app, ["releases", "promote", str(two[0])]).output
    assert run(app, ["releases", "promote", str(two[1])]).exit_code == 0
    second = json.loads((two[1] / "manifest.json").read_text(encoding="utf-8"))["bundle_id"]
    assert second in run(app, ["releases", "current"]).output
    refused = run(app, ["releases", "promote", str(unable)])
    assert refused.exit_code == 1
    assert json.loads((unable / "manifest.json").read_text())["bundle_id"] not in {
        path.name for path in (tmp_path / "releases").iterdir()
    }
    assert second in run(app, ["releases", "current"]).output
    assert run(app, ["releases", "rollback"]).exit_code == 0
    listed = run(app, ["releases", "list"]).output.splitlines()
    assert len(listed) == 3
    assert listed[-1].startswith("*")
    failed = run(app, ["releases", "rollback"])
    assert failed.exit_code == 1


def test_use_changes_one_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (TOP / "params.yaml").read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    result = CliRunner().invoke(app, ["use", "movielens", "--params", str(path)])
    assert result.exit_code == 0
    changed = [
        pair
        for pair in zip(before.splitlines(), path.read_text(encoding="utf-8").splitlines(), strict=True)
        if pair[0] != pair[1]
    ]
    assert len(changed) <= 1
    assert params.load(path).dataset == "movielens"
    assert CliRunner().invoke(app, ["use", "shop", "--params", str(path)]).exit_code == 1
