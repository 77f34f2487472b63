"""The scripts that measure the shape of the code, on what is here."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import provenance
from benchmarks.mutation import __main__ as mutation
from benchmarks.mutation import operators, run_room
from benchmarks.structure import calls, import_graph, sample_words


def test_calls_of_a_recommendation_an_event_and_an_item(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "RESULTS", tmp_path)
    calls.main(pipeline / "bundle", before=None)
    found = json.loads((tmp_path / "calls.json").read_text())["now"]
    for request, function in (
        ("recommendation", "recsys/recommend/recommender.py: Recommender.recommend"),
        ("event", "serving/stores/store.py: Store.add_events"),
        ("item", "serving/stores/store.py: Store.upsert_items"),
    ):
        assert function in found[request]["functions"]
        assert sum(found[request]["functions"].values()) == found[request]["calls"]
        assert found[request]["files"] <= found[request]["moves"] < found[request]["calls"]


def test_a_small_mistake_is_noticed_once_and_for_all(tmp_path: Path) -> None:
    path = "recsys/evaluation/intervals.py"
    drawn = mutation.draw([path], sample=1, seed=7)
    assert len(drawn[path]) == 5
    ((tests, of),) = mutation.groups({path: [0]})
    (row,) = mutation.run(tests, of, tmp_path)
    assert (row["outcome"], row["by"].split("::")[0]) == ("killed", "tests/evaluation/test_intervals.py")
    assert mutation.run(tests, of, tmp_path) == [row], "nothing has changed since"
    assert mutation.run([], of, tmp_path) == [row], "what noticed it is the same"


def test_a_mistake_that_no_test_runs_survives_and_is_tried_again_when_a_test_changes(tmp_path: Path) -> None:
    path, unrelated = "recsys/recommend/trace.py", ["tests/evaluation/test_segments.py"]
    (row,) = mutation.run(unrelated, {path: [0]}, tmp_path)
    assert row["outcome"] == "survived"
    assert mutation._known(tmp_path, path, unrelated) == {0: row}
    assert not mutation._known(tmp_path, path, [*unrelated, "tests/recommend/test_deadline.py"])


def test_a_function_without_its_call_of_super_can_take_the_place_of_the_function() -> None:
    source = "class A(B):\n    def __init__(self):\n        super().__init__()\n"
    (mutant,) = operators.mutants(source, "a.py")
    code = run_room.code_of(mutant.code(), "A.__init__")
    assert code is not None
    assert (mutant.what, code.co_freevars) == ("call left out", ("__class__",))


def test_a_sample_of_words_is_drawn_by_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    samples = []
    for seed in (1, 1, 2):
        sample_words.main(seed, docstrings=3, messages=2)
        samples.append(capsys.readouterr().out)
    assert samples[0] == samples[1] != samples[2]
    assert [samples[0].count(f"## {letter}") for letter in "DE"] == [3, 2]


def test_calls_without_a_bundle_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `make demo`"):
        calls.main(tmp_path, before=None)


def test_an_import_against_the_layers_is_counted() -> None:
    layer = import_graph.layers(provenance.TOP)
    arrows = import_graph.module_arrows(provenance.TOP)
    assert import_graph.upward(arrows, layer) == 0
    assert import_graph.upward(arrows | {("recsys.bundle.bundle", "recsys.recommend.recommender")}, layer) == 1


def test_a_cycle_of_rooms_is_counted() -> None:
    arrows = {("recsys.a.x", "recsys.b.y"), ("recsys.b.z", "recsys.c"), ("serving.app", "recsys.a.x")}
    alone = {(name, name) for pair in arrows for name in pair}
    assert import_graph.counts(arrows | alone)["library"] == {"rooms": 4, "arrows": 3, "cycles": 0}
    closed = arrows | alone | {("recsys.c", "recsys.a.w")}
    assert import_graph.counts(closed)["library"] == {"rooms": 4, "arrows": 4, "cycles": 1}


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz draws the picture")
def test_the_picture_holds_every_room() -> None:
    arrows = import_graph.module_arrows(provenance.TOP)
    picture = import_graph.drawn(arrows, import_graph.layers(provenance.TOP)).decode()
    assert all(f">{room}</text>" in picture for room in ("recommend", "bundle", "contracts", "serving"))
