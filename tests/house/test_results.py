"""Figures in the documents come from results files, and none of a version is older than the code of that version."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import provenance
from benchmarks.figures import age, check, documents
from benchmarks.figures.training import TITLES
from benchmarks.structure.revision import extracted

CHANGELOG = provenance.TOP / "CHANGELOG.md"


@pytest.mark.parametrize("path", documents.documents(), ids=lambda path: path.name)
def test_a_document_shows_what_the_results_files_hold(path: Path) -> None:
    text = path.read_text()
    assert text.count("<!-- figures:") == text.count("<!-- end of figures -->")
    assert text == documents.filled(text), f"{path.name}: run make figures"


def test_every_block_is_shown_once() -> None:
    texts = "".join(path.read_text() for path in documents.documents())
    shown = [name for _, name, _ in documents.MARKED.findall(texts)]
    assert sorted(shown) == sorted(documents.BLOCKS)


@pytest.mark.parametrize("dataset", TITLES)
def test_a_data_set_of_the_readme_was_measured_with_baselines(dataset: str) -> None:
    measured = json.loads((provenance.DOCS / f"{dataset}.json").read_text(encoding="utf-8"))
    assert {"random", "popular", measured["default_variant"]} <= {row["variant"] for row in measured["metrics"]}


def versions(changelog: str) -> dict[str, str]:
    """Version -> the commit that its heading names: `## [0.2.0] - 2026-12-01, commit 0123abc`; "" without one."""
    headings = re.findall(r"^## \[(\d+\.\d+\.\d+)\](.*)$", changelog, re.M)
    return {version: (re.findall(r"commit `?([0-9a-f]{7,40})\b", rest) or [""])[0] for version, rest in headings}


def test_a_heading_names_version_and_commit() -> None:
    text = "## [Unreleased]\n\n## [0.2.0] - 2026-12-01, commit `0123abcd`\n\n## [0.1.0] - 2026-11-01\n"
    assert versions(text) == {"0.2.0": "0123abcd", "0.1.0": ""}


def test_no_figure_of_a_version_is_older_than_its_code(tmp_path: Path) -> None:
    for version, commit in versions(CHANGELOG.read_text()).items():
        assert commit, (
            f"CHANGELOG.md, [{version}]: name the commit, as in `## [{version}] - 2026-12-01, commit 0123abc`"
        )
        tree = extracted(commit, tmp_path / version)
        if not (tree / "benchmarks/provenance.py").is_file():
            assert version == "0.1.0", f"[{version}]: its figures do not say at which commit they were measured"
            continue
        stale = {found.path.name: found.commits for found in age.ages(tree, commit)}
        stale = {name: commits for name, commits in stale.items() if commits != 0}
        assert not stale, f"[{version}]: measured before the code of {commit} (commits since): {stale}"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository: a file written and changed, another one written, the first one moved, and changed again."""
    (tmp_path / "recsys").mkdir()
    for name, last in (("a.py", 3), ("a.py", 4), ("other.py", 1)):
        (tmp_path / "recsys" / name).write_text(f"x = 1\ny = 2\nz = {last}\n")
        commit(tmp_path, f"{name} {last}")
    (tmp_path / "recsys/room").mkdir()
    (tmp_path / "recsys/a.py").rename(tmp_path / "recsys/room/a.py")
    commit(tmp_path, "moved")
    (tmp_path / "recsys/room/a.py").write_text("x = 1\ny = 2\nz = 5\n")
    commit(tmp_path, "last")
    return tmp_path


def commit(folder: Path, message: str) -> None:
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", message]):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *command], cwd=folder, check=True)


def test_commits_are_counted_through_a_move(history: Path) -> None:
    log = subprocess.run(
        ["git", "rev-list", "--reverse", "HEAD"], cwd=history, check=True, capture_output=True, text=True
    )
    first, second, _, moved, last = log.stdout.split()
    here = frozenset({"recsys/room/a.py"})
    counts = [age.touched(here, since, top=history) for since in (first, second, moved, last)]
    assert counts == [2, 1, 1, 0]
    assert age.touched(frozenset({"recsys/other.py"}), second, top=history) == 1
    assert age.touched(here, "0" * 40, top=history) is None


def test_old_figures_are_listed_and_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    origin: dict[str, object] = {"commit": "1" * 40, "date": "2026-12-01"}
    provenance.write("x", origin, {"answers": 3}, tmp_path)
    check.write_mark(age.Age(tmp_path / "x.json", origin, 2), "2" * 40)
    marked = json.loads((tmp_path / "x.json").read_text())["provenance"]
    assert marked == origin | {"older_than_the_code": {"commits": 2, "at": "2" * 40}}
    check.write_mark(age.Age(tmp_path / "x.json", origin, 0), "3" * 40)
    assert json.loads((tmp_path / "x.json").read_text()) == {"provenance": origin, "answers": 3}
    check.main(mark=False)
    assert "benchmarks/results/rules.json" in capsys.readouterr().out


def test_what_a_benchmark_imports_and_runs_is_what_it_measures() -> None:
    rules = {str(file.relative_to(provenance.TOP)) for file in age.measured(provenance.TOP, "benchmarks.rules")}
    assert "recsys/business_rules/slate.py" in rules
    assert not [name for name in rules if name.startswith(("serving", "benchmarks"))]
    scale = {str(file.relative_to(provenance.TOP)) for file in age.measured(provenance.TOP, "benchmarks.scale")}
    assert {"recsys/stages/evaluate.py", "recsys/models/als.py", "recsys/sources/nearest.py", "params.yaml"} <= scale
    load = {str(file.relative_to(provenance.TOP)) for file in age.measured(provenance.TOP, "benchmarks.serving.load")}
    assert {"serving/routes/recommend.py", "recsys/recommend/recommender.py"} <= load
