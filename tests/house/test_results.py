"""The README's results table is the one that the measured files give, for every data set it promises."""

import json
from pathlib import Path

import pytest

from benchmarks import provenance, results


def test_the_readme_shows_the_measured_table() -> None:
    readme = results.README.read_text(encoding="utf-8")
    shown = readme.split(results.BEGIN)[1].split(results.END)[0].strip()
    assert shown == results.table(), "docs/results changed: run python -m benchmarks.results --table"


@pytest.mark.parametrize("dataset", results.TITLES)
def test_every_data_set_was_measured_with_a_description_of_the_machine(dataset: str) -> None:
    measured = json.loads((provenance.DOCS / f"{dataset}.json").read_text(encoding="utf-8"))
    assert measured["provenance"]["cores"] >= 1
    assert {"random", "popular", measured["default_variant"]} <= {row["variant"] for row in measured["metrics"]}


def test_the_table_is_replaced_between_its_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    monkeypatch.setattr(results, "README", readme)
    results.write_table()
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert results.table() in text
