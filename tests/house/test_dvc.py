"""The pipeline as users of DVC expect it, on copies of one small finished run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from benchmarks.stores import servers

Run = Callable[..., str]


@pytest.fixture
def copy(pipeline: Path, tmp_path: Path, run: Run) -> Path:
    """A copy of the finished run, everything that git may track committed."""
    folder = tmp_path / "copy"
    shutil.copytree(pipeline, folder, symlinks=True)
    run("git add -A && git commit -q -m run", folder)
    return folder


def change(folder: Path, key: str, value: Any) -> None:
    """Set one value of params.yaml."""
    path = folder / "params.yaml"
    params: dict[str, Any] = yaml.safe_load(path.read_text())
    *parents, last = key.split(".")
    section = params
    for part in parents:
        section = section[part]
    assert section.get(last) != value
    section[last] = value
    path.write_text(yaml.safe_dump(json.loads(json.dumps(params)), sort_keys=False))  # without anchors


def stages_run(output: str) -> list[str]:
    """The stages that `dvc repro` says it ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def bundle_id(folder: Path) -> str:
    return str(json.loads((folder / "bundle" / "manifest.json").read_text())["bundle_id"])


def test_the_graph_goes_from_fetch_to_release(copy: Path, run: Run) -> None:
    edges = run("dvc dag --dot", copy)
    for edge in (
        '"fetch" -> "prepare"',
        '"split" -> "train@als"',
        '"tune" -> "train@als"',
        '"index@als" -> "candidates@learned"',
        '"candidates@learned" -> "rank@learned"',
        '"rank@learned" -> "evaluate"',
        '"evaluate" -> "release"',
        '"index@als" -> "release"',
    ):
        assert edge in edges


def test_nothing_to_do_after_a_run(copy: Path, run: Run) -> None:
    assert stages_run(run("dvc repro", copy)) == []
    assert "up to date" in run("dvc status", copy)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("evaluate.bootstrap", 201, {"evaluate", "release"}),
        (
            "datasets.synthetic.models.als.alpha",
            2.5,
            {
                "tune",
                "train@als",
                "index@als",
                "candidates@learned",
                "rank@learned",
                "evaluate",
                "release",
            },
        ),
        ("datasets.movielens.adapter.like_from", 3.5, set()),
    ],
)
def test_one_changed_parameter_reruns_its_descendants(
    copy: Path, run: Run, key: str, value: Any, expected: set[str]
) -> None:
    change(copy, key, value)
    assert set(stages_run(run("dvc repro", copy))) == expected


def test_every_stage_runs_without_dvc_and_writes_the_same_bytes(pipeline: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "plain"
    run(f"git clone -q {pipeline} {folder}", tmp_path)
    locked = yaml.safe_load((pipeline / "dvc.lock").read_text())["stages"]
    order = list(yaml.safe_load((folder / "dvc.yaml").read_text())["stages"])
    shutil.rmtree(folder / ".dvc")
    for name in sorted(locked, key=lambda name: order.index(name.split("@")[0])):
        commands = locked[name]["cmd"]
        for command in [commands] if isinstance(commands, str) else commands:
            assert command.startswith("python -m recsys.stages.")
            run(command, folder)
    run("git checkout -q .dvc && dvc commit --force --quiet", folder)
    assert yaml.safe_load((folder / "dvc.lock").read_text())["stages"] == locked
    assert bundle_id(folder) == bundle_id(pipeline)


def test_through_an_object_storage(copy: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh clone pulls and has nothing to do; others get the bundle by its path, and by the tag of its version."""
    with servers.s3() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("dvc-test")
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        remote = "dvc remote add --default store s3://dvc-test/recsys && dvc remote modify store endpointurl"
        run(f"{remote} {environment['AWS_ENDPOINT_URL']} && git commit -q -a -m remote && dvc push --quiet", copy)
        run("git clone -q copy clone", tmp_path)
        clone = tmp_path / "clone"
        run("dvc pull --quiet", clone)
        assert stages_run(run("dvc repro", clone)) == []
        assert run("git status --porcelain", clone) == ""
        assert bundle_id(clone) == bundle_id(copy)
        run("mv .dvc/cache ../cache", copy)  # or the bundle would come from there
        run("dvc get --quiet copy bundle --out got/bundle", tmp_path)
        assert bundle_id(tmp_path / "got") == bundle_id(copy)
        run("git tag -a bundle@v1.0.0 -m 'the first one'", copy)
        run("dvc artifacts get copy bundle --rev v1.0.0 --out version/bundle", tmp_path)
        assert bundle_id(tmp_path / "version") == bundle_id(copy)


def test_metrics_plots_and_experiments(copy: Path, run: Run) -> None:
    run("dvc exp run --quiet --name fewer -S datasets.synthetic.models.als.regularization=30", copy)
    shown = json.loads(run("dvc exp show --json", copy))
    assert "fewer" in json.dumps(shown)
    table = run("make --silent --old-file setup experiments", copy)
    assert "fewer" in table
    assert "als.regularization" in table
    graph = run("make --silent --old-file setup dag", copy)
    assert "prepare <- fetch\n" in graph
    assert max(map(len, (table + graph).splitlines())) <= 120
    changes = json.loads(run("dvc metrics diff --json", copy))
    assert "ndcg@10" in changes["metrics/offline/als.json"]
    run("dvc plots show --quiet --out plots", copy)
    assert (copy / "plots" / "index.html").stat().st_size > 1_000


def test_without_a_better_candidate_the_baseline_is_released(copy: Path, run: Run) -> None:
    change(copy, "datasets.synthetic.release_candidates", ["random"])
    change(copy, "gate.baseline", "popular")
    printed = run("dvc repro evaluate release", copy)
    assert "'popular' is released: none of 1 candidates is admitted" in printed
    assert json.loads((copy / "bundle" / "manifest.json").read_text())["default_variant"] == "popular"


def test_a_new_model_is_a_file_and_two_sections(copy: Path, run: Run) -> None:
    shutil.copyfile(copy / "recsys" / "models" / "als.py", copy / "recsys" / "models" / "twin.py")
    params = yaml.safe_load((copy / "params.yaml").read_text())
    params["models"]["twin"] = dict(params["models"]["als"])
    params["datasets"]["synthetic"]["models"]["twin"] = dict(params["datasets"]["synthetic"]["models"]["als"])
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    names = run("dvc stage list --all --name-only", copy).split()
    assert {"train@twin", "index@twin"} <= set(names)
    assert set(stages_run(run("dvc repro index@twin", copy))) == {"tune", "train@twin", "index@twin"}


def test_dvc_asks_nobody_and_reports_to_nobody(root: Path, run: Run) -> None:
    assert run("dvc config core.analytics", root).strip() == "false"
    assert run("dvc config core.check_update", root).strip() == "false"
