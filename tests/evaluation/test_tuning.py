"""The search finds better settings than bad ones, and its score is the NDCG that a naive ranking gives."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from recsys import params as settings
from recsys.bundle.embeddings import encoder_of
from recsys.data import split as splits
from recsys.data import split_protocols
from recsys.errors import DataError, ParamsError
from recsys.evaluation import tuning
from recsys.models import als
from tests.data.test_split_protocols import items, params, table

N_ITEMS = 40
N_USERS = 60


@pytest.fixture(scope="module")
def split_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users of even number buy even items, odd ones odd."""
    draw = np.random.default_rng(0)
    users = draw.integers(N_USERS, size=2500)
    bought = 2 * (draw.random(2500) ** 1.5 * N_ITEMS / 2).astype(int) + users % 2
    events = table(list(zip(users.tolist(), bought.tolist(), draw.integers(50_000, size=2500).tolist(), strict=True)))
    folder = tmp_path_factory.mktemp("split")
    made = split_protocols.make(events, items(N_ITEMS), params(allow_repeat=False), seed=1)
    splits.save(made, folder)
    return folder


@pytest.fixture
def few(root: Path) -> settings.Params:
    """The product's own settings, with small factors that are bad on purpose."""
    content = yaml.safe_load((root / "params.yaml").read_text())
    content["dataset"] = "synthetic"
    content["threads"] = 1
    content["models"] = {"als": {"factors": 4, "iterations": 2}}
    for section in content["datasets"].values():
        section["models"] = {"als": {"alpha": 0.01, "regularization": 500.0, "half_life_days": 0.5}}
    return settings.parse(settings.Params, content, "test")


def test_the_search_beats_bad_settings_and_repeats_itself(
    split_folder: Path, few: settings.Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = tuning.tune("als", split_folder, few, 6, tmp_path / "trials.json")
    again = tuning.tune("als", split_folder, few, 6, tmp_path / "again.json")
    assert best == again
    assert (tmp_path / "trials.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    written = json.loads((tmp_path / "trials.json").read_text())
    assert len(written["trials"]) == 6
    assert written["after"] == max(trial["value"] for trial in written["trials"]) > written["before"]
    assert written["best"] == best
    assert "trial 6/6" in capsys.readouterr().err


def test_the_lines_to_paste_stand_under_the_headings_of_params_yaml(
    split_folder: Path, few: settings.Params, capsys: pytest.CaptureFixture[str]
) -> None:
    best = tuning.tune("als", split_folder, few, 3)
    lines = yaml.safe_load(capsys.readouterr().out)
    assert set(lines["models"]["als"]) == {"factors", "iterations"}
    assert set(lines["datasets"]["synthetic"]["models"]["als"]) == {"alpha", "regularization", "half_life_days"}
    assert {**lines["models"]["als"], **lines["datasets"]["synthetic"]["models"]["als"]} == best


def test_a_long_memory_stays_long(split_folder: Path, few: settings.Params, tmp_path: Path) -> None:
    """als_long works under a ranker that knows what sells now; scored without it, a short memory would win."""
    of_als = few.datasets["synthetic"].models["als"]
    synthetic = few.data.model_copy(update={"models": {"als_long": {**of_als, "half_life_days": 60.0}}})
    params = few.model_copy(
        update={"models": {"als_long": few.models["als"]}, "datasets": {**few.datasets, "synthetic": synthetic}}
    )
    tuning.tune("als_long", split_folder, params, 4, tmp_path / "trials.json")
    trials = [trial["settings"] for trial in json.loads((tmp_path / "trials.json").read_text())["trials"]]
    assert {trial["half_life_days"] for trial in trials} == {60.0}
    assert len({trial["alpha"] for trial in trials}) == 4


def test_settings_that_nothing_beats_are_kept(
    split_folder: Path, few: settings.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(als, "suggest", lambda trial: {"alpha": 0.001, "regularization": 1e6})
    assert tuning.tune("als", split_folder, few, 2) == few.model("als")


def test_the_score_is_what_a_naive_ranking_gives(split_folder: Path, few: settings.Params) -> None:
    split = splits.load(split_folder)
    config = als.Config(factors=4, iterations=3, alpha=2.0, regularization=1.0, half_life_days=30)
    model = als.fit(split.training("valid", 1, 1), config)
    exam = tuning.examine(split, few)
    encoder, wanted = encoder_of(model), split.targets("valid")
    counts = split.fit_rows("valid").group_by("user_row").len()
    warm = set(counts.filter(counts["len"] >= few.evaluate.warm_events)["user_row"])
    values = []
    for user in wanted["user_row"].unique().sort():
        if user not in warm:
            continue
        history = split.histories("valid", np.array([user], dtype=np.int32))[0]
        vector = encoder.encode(history, split.query_now("valid", history))
        assert vector is not None
        seen = set(history.rows.tolist())
        order = sorted(
            (row for row in model.rows.tolist() if row not in seen), key=lambda row: -model.vectors[row] @ vector
        )
        targets = set(wanted.filter(wanted["user_row"] == user)["item_row"])
        gain = sum(1 / np.log2(rank + 2) for rank, row in enumerate(order[:10]) if row in targets)
        values.append(gain / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(targets)))))
    assert len(values) == len(exam.histories) > 20
    assert tuning.score(model, exam) == pytest.approx(np.mean(values), abs=1e-6)


def test_what_cannot_be_tuned_is_one_clear_line(
    split_folder: Path, few: settings.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = few.model_copy(update={"evaluate": few.evaluate.model_copy(update={"warm_events": 10_000})})
    with pytest.raises(DataError, match=r"evaluate\.warm_events = 10000 events or more"):
        tuning.tune("als", split_folder, strict, 1)
    with pytest.raises(ParamsError, match=r"no file recsys/models/alz\.py"):
        tuning.tune("alz", split_folder, few, 1)
    monkeypatch.delattr(als, "suggest")
    with pytest.raises(ParamsError, match="has no `suggest`"):
        tuning.tune("als", split_folder, few, 1)
