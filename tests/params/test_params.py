"""params.yaml: what is accepted, and what one line says about everything else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys import params
from recsys.errors import ParamsError, validator_message
from recsys.params import extensions

TOP = Path(__file__).parents[2]


def write(folder: Path, change: Any) -> Path:
    content = yaml.safe_load((TOP / "params.yaml").read_text(encoding="utf-8"))
    content["dataset"] = "synthetic"
    change(content)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_repository_s_own_file_is_valid() -> None:
    loaded = params.load(TOP / "params.yaml")
    assert loaded.data is loaded.datasets[loaded.dataset]
    assert set(loaded.models["als"]) | set(loaded.data.models.get("als", {})) == set(loaded.model("als"))


@pytest.mark.parametrize("name", list(params.load(TOP / "params.yaml").datasets))
def test_every_data_set_has_an_adapter_and_settings_its_models_accept(name: str) -> None:
    loaded = params.load(TOP / "params.yaml").model_copy(update={"dataset": name})
    adapter = extensions.load("datasets", name)
    params.parse(adapter.Config, loaded.data.adapter, name)
    for model in loaded.data.models:
        params.parse(extensions.load("models", model).Config, loaded.model(model), model)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda p: p.update(dataset="shop"), r"dataset names 'shop', expected one of `datasets`: .*synthetic"),
        (lambda p: p.update(sed=1), r"unknown key 'sed'; known here: .*seed"),
        (lambda p: p["datasets"]["movielens"].pop("split"), r"datasets.movielens.split: Field required"),
        (lambda p: p["datasets"]["movielens"]["split"].update(protocol="random"), r"split.protocol: .* found 'random'"),
        (
            lambda p: p["models"]["als"].update(alpha=1.0),
            r"datasets.\w+.models.als: 'alpha' is also set in models.als: keep one",
        ),
        (
            lambda p: p["datasets"]["synthetic"].update(release_candidates=["x"]),
            r"datasets.synthetic.release_candidates names 'x', expected one of `variants`: als, als_recent, ",
        ),
        (
            lambda p: p["rankers"]["learned"].update(variant="x"),
            r"rankers.learned.variant names 'x', expected one of `variants`: ",
        ),
        (lambda p: p["datasets"]["synthetic"]["models"].update(new={}), r"models.new: no such model in `models`"),
        (
            lambda p: p["datasets"]["synthetic"].update(variants={"als": {"rules": []}}),
            r"datasets.synthetic.variants.als: 'rules' is also set in variants.als: keep one",
        ),
        (
            lambda p: p["datasets"]["synthetic"].update(variants={"new": {}}),
            r"variants.new: no such variant in `variants`",
        ),
        (
            lambda p: p["datasets"]["synthetic"].update(variants={"als": {"new_item_share": 2}}),
            r"datasets.synthetic.variants.als: new_item_share: .* found 2",
        ),
        (
            lambda p: p["datasets"]["synthetic"]["split"].update(target_events=["buy"]),
            r"names 'buy', expected one of .*event_weights: ",
        ),
        (
            lambda p: p["datasets"]["files"]["thresholds"].update(like_from={"rating": 4}),
            r"files.thresholds.like_from names 'rating', expected one of .*event_weights: loan",
        ),
        (
            lambda p: p["gate"].update(baseline="best"),
            r"gate.baseline names 'best', expected one of evaluate.baselines: ",
        ),
        (
            lambda p: p["evaluate"]["baselines"].append("x"),
            r"evaluate.baselines names 'x', expected one of `variants`: ",
        ),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_key_and_the_choices(tmp_path: Path, change: Any, line: str) -> None:
    path = write(tmp_path, change)
    with pytest.raises(ParamsError) as error:
        params.load(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert re.search(line, message), message


def test_a_variant_is_complete_with_what_the_data_set_says_of_it(tmp_path: Path) -> None:
    tuned = {"synthetic": {"als": {"new_item_share": 0.5}}, "files": {"als": {"new_item_share": 0.1}}}
    path = write(tmp_path, lambda p: [p["datasets"][name].update(variants=tuned[name]) for name in tuned])
    loaded = params.load(path)
    assert loaded.variants["als"].new_item_share == 0.5
    assert loaded.variants["als"].sources == params.load(TOP / "params.yaml").variants["als"].sources
    assert loaded.variants["popular"].new_item_share == 0


def test_all_variants_are_candidates_the_baseline_first(tmp_path: Path) -> None:
    loaded = params.load(write(tmp_path, lambda content: content["gate"].update(baseline="als")), tuned=False)
    assert loaded.candidates == ["als", *(name for name in loaded.variants if name != "als")]


def test_messages_of_validators_come_without_the_prefix_that_pydantic_adds() -> None:
    """One function removes it; nothing else reads the message of an error of pydantic."""
    read = re.compile(r"""\[["']msg["']\]""")
    files = [path for room in ("recsys", "serving", "clients") for path in (TOP / room).rglob("*.py")]
    assert [path.name for path in files if read.search(path.read_text(encoding="utf-8"))] == ["errors.py"]
    assert validator_message({"msg": "Value error, end must be after start"}) == "end must be after start"


def test_no_file_and_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file; run from the top"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1", encoding="utf-8")
    with pytest.raises(ParamsError, match="not valid YAML"):
        params.load(tmp_path / "params.yaml")


def test_an_unknown_extension_names_the_choices() -> None:
    with pytest.raises(
        ParamsError,
        match=r"no file recsys/sources/nearst.py; there are: item_item, live_covisit, nearest, new",
    ):
        extensions.load("sources", "nearst")


def test_what_is_not_typed_comes_from_tuned_json_and_typed_settings_win(tmp_path: Path) -> None:
    def leave_open(content: Any) -> None:
        content["dataset"] = "synthetic"
        del content["datasets"]["synthetic"]["recent_half_life_days"]
        content["datasets"]["synthetic"]["models"] = {"als": {"alpha": 3.0}}

    path = write(tmp_path, leave_open)
    assert params.load(path).model("als") == {"iterations": 15, "alpha": 3.0}
    with pytest.raises(
        ParamsError, match=r"recent_half_life_days is neither in params.yaml nor in tuned\.json: run `dvc repro t"
    ):
        _ = params.load(path).data.recent_half_life_days
    found: dict[str, Any] = {"dataset": "synthetic", "recent_half_life_days": 0.5, "variants": {}}
    found["models"] = {"als": {"alpha": 9.0, "factors": 8}, "gone": {"alpha": 1.0}}
    (tmp_path / "tuned.json").write_text(json.dumps(found))
    assert params.load(path).data.smoothing is None  # a file of an earlier version
    found |= {"smoothing": 3.0, "repeat_half_life_days": 12.0}
    (tmp_path / "tuned.json").write_text(json.dumps(found))
    loaded = params.load(path)
    assert loaded.data.recent_half_life_days == 0.5
    assert (loaded.data.smoothing, loaded.data.repeat_half_life_days) == (3.0, 12.0)
    assert loaded.model("als") == {"iterations": 15, "alpha": 3.0, "factors": 8}
    assert loaded.model("content") == {}
    assert params.load(path, tuned=False).model("als") == {"iterations": 15, "alpha": 3.0}
    (tmp_path / "tuned.json").write_text(json.dumps({**found, "dataset": "movielens"}))
    assert params.load(path).model("als") == {"iterations": 15, "alpha": 3.0}
    (tmp_path / "tuned.json").write_text("{}")
    with pytest.raises(ParamsError, match=r"tuned\.json: dataset: Field required"):
        params.load(path)
