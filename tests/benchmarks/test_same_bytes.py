"""The comparison of machines, on the first three stages: equal where the kernels are, and it notices a changed byte."""

from pathlib import Path

import pytest

from benchmarks.same_bytes import cost
from benchmarks.same_bytes.__main__ import HERE, Machine, compared, digest, pipeline, prepare, run
from tests.support.small_shop import SMALL


def test_machines_are_compared_by_what_they_write(tmp_path: Path) -> None:
    stages, outs = pipeline()
    commands = [*stages["fetch"], *stages["prepare"], *stages["split"]]
    assert len(commands) == 3
    assert outs[-1] == "bundle"
    found = {}
    for machine in HERE[1:3]:
        prepare(tmp_path / machine.name, "synthetic", SMALL)
        found[machine.name] = run(machine, tmp_path / machine.name, commands, outs[:5])
    assert [ran["chosen"]["openblas"] for ran in found.values()] == ["Haswell", "Haswell"]
    (tmp_path / HERE[2].name / "reports/data.txt").write_text("other")
    changed = digest(tmp_path / HERE[2].name / "reports/data.txt")
    outputs = found[HERE[2].name]["outputs"]
    altered = found[HERE[2].name] | {"outputs": outputs | {"reports/data.txt": changed}}
    assert not compared({"one": found[HERE[1].name].copy(), "other": altered})["same_bytes"]
    table = compared(found)
    assert table["same_bytes"]
    assert len(set(table["outputs"].values())) == 5


def test_the_control_does_without_the_kernels(tmp_path: Path) -> None:
    for kernels, blas in ((True, "Haswell"), (False, "Nehalem")):
        machine = Machine("old", {"OPENBLAS_CORETYPE": "Nehalem"}, kernels=kernels)
        assert run(machine, tmp_path, ["python -m recsys.stages.fetch --help"], [])["chosen"]["openblas"] == blas


def test_the_cost_is_measured_with_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "CATALOGUES", (500,))
    monkeypatch.setattr(cost, "pipeline", lambda: ({"fetch": pipeline()[0]["fetch"]}, []))
    for figures in (cost.stage_seconds(tmp_path, 1)["fetch"], cost.answer_ms(tmp_path, 1)["500 items"]):
        assert figures["with"] > 0
        assert figures["without"] > 0
