"""The search finds better settings than bad ones, and its score is the NDCG that a naive ranking gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recsys import params as settings
from recsys.bundle.embeddings import encoder_of
from recsys.contracts import Embeddings, TrainingData
from recsys.data import split as splits
from recsys.errors import ParamsError
from recsys.evaluation.tuning import half_life, portfolio, validation_task
from recsys.evaluation.tuning import search as search_module
from recsys.evaluation.tuning.search import search
from recsys.models import als
from tests.data.made_split import make
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
    made = make(events, items(N_ITEMS), params(allow_repeat=False), seed=1)
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
    once = portfolio.search_anew(["als"], split_folder, few, 8, tmp_path / "memory", tmp_path / "once.json")["als"]
    again = portfolio.search_anew(["als"], split_folder, few, 8, tmp_path / "memory", tmp_path / "again.json")["als"]
    assert once == again
    assert (tmp_path / "once.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    assert not (tmp_path / "memory").exists()
    assert len(once.trials) == 8
    assert once.before is not None
    assert once.after == max(trial.value for trial in once.trials) > once.before
    lines = yaml.safe_load(capsys.readouterr().out.split("# als")[1].split("\n", 1)[1])
    assert set(lines["models"]["als"]) == {"factors", "iterations"}
    assert set(lines["datasets"]["synthetic"]["models"]["als"]) == {"alpha", "regularization", "half_life_days"}
    assert {**lines["models"]["als"], **lines["datasets"]["synthetic"]["models"]["als"]} == once.settings


def test_a_stopped_search_goes_on_where_it_was(
    split_folder: Path, few: settings.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search("als", split_folder, few, 7, True)
    fitted: list[als.Config] = []

    def stops_after(n: int) -> Any:
        def fit(data: TrainingData, config: als.Config) -> Embeddings:
            if len(fitted) == n:
                raise KeyboardInterrupt
            fitted.append(config)
            return real(data, config)

        return fit

    real = als.fit
    monkeypatch.setattr(als, "fit", stops_after(4))
    with pytest.raises(KeyboardInterrupt):
        search("als", split_folder, few, 7, True, tmp_path / "memory")
    with (tmp_path / "memory").open("a") as file:
        file.write('["cut sho')
    fitted.clear()
    monkeypatch.setattr(als, "fit", stops_after(8 - 4))  # the settings it had, and 7 trials
    assert search("als", split_folder, few, 7, True, tmp_path / "memory") == whole


def test_a_data_set_that_lists_all_models_needs_no_search(
    split_folder: Path, few: settings.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portfolio, "in_own_process", None)
    monkeypatch.setattr(half_life, "find", None)
    few = few.with_data(smoothing=0.0, repeat_half_life_days=3.0)
    found = portfolio.fill(split_folder, few, tmp_path / "memory")
    assert found.models == {"als": few.model("als")}
    assert (found.smoothing, found.repeat_half_life_days) == (0.0, 3.0)
    assert found.recent_half_life_days == few.data.recent_half_life_days
    assert found.variants == few.data.variants


def test_what_is_not_listed_is_found_and_what_all_data_sets_share_is_kept(
    split_folder: Path, few: settings.Params, tmp_path: Path
) -> None:
    one = few.model_copy(update={"tune": few.tune.model_copy(update={"trials": 2})})
    found = portfolio.fill(split_folder, one.with_data(models={}, typed_half_life_days=None), tmp_path / "memory")
    assert found.models["als"].keys() == {"factors", "iterations", "alpha", "regularization", "half_life_days"}
    assert (found.models["als"]["factors"], found.models["als"]["iterations"]) == (4, 2)
    assert found.recent_half_life_days in half_life.HALF_LIVES_DAYS
    assert not (tmp_path / "memory").exists()


def test_what_is_typed_is_kept_and_only_the_rest_is_searched(split_folder: Path, few: settings.Params) -> None:
    found = search("als", split_folder, few.with_data(models={"als": {"alpha": 2.5}}), 3, False)
    assert found.before is None
    assert {trial.settings["alpha"] for trial in found.trials} == {2.5}
    assert {trial.settings["factors"] for trial in found.trials} == {4}
    assert len({trial.settings["half_life_days"] for trial in found.trials}) == 3


def test_settings_that_nothing_beats_are_kept(
    split_folder: Path, few: settings.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(als, "suggest", lambda trial: {"alpha": 0.001, "regularization": 1e6})
    assert search("als", split_folder, few, 2, True).settings == few.model("als")


def test_settings_that_do_not_fit_the_data_count_nothing(
    split_folder: Path, few: settings.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(data: TrainingData, config: als.Config) -> Embeddings:
        raise ValueError("too many factors")

    monkeypatch.setattr(als, "fit", fit)
    found = search("als", split_folder, few.with_data(models={}), 2, False)
    assert [trial.value for trial in found.trials] == [0, 0]
    assert set(found.settings) == set(few.model("als"))


def test_a_model_is_scored_under_the_ranker_of_its_variant(split_folder: Path, few: settings.Params) -> None:
    """Alone, als_long would want to forget fast; under the ranker, which knows what sells now, it is multiplied."""
    split = splits.load(split_folder)
    bare = few.model_copy(update={"variants": {name: few.variants[name] for name in ("als",)}})
    assert search_module.ranker_factor("als_long", split, bare) is None
    factor = search_module.ranker_factor("als_long", split, few)
    recent, popularity = half_life.demand(split, few.data.recent_half_life_days)
    assert factor is not None
    assert np.allclose(factor, recent / (popularity + np.median(popularity[popularity > 0])))
    smooth = search_module.ranker_factor("als_long", split, few.with_data(smoothing=20.0))
    assert smooth is not None
    assert np.allclose(smooth, recent / (popularity + 20))
    model = als.fit(
        split.training("valid", 1, 1), als.Config(factors=8, iterations=5, alpha=2, regularization=1, half_life_days=30)
    )
    task = validation_task.draw_task(split, few, 5)
    assert validation_task.score(model, task, factor) != validation_task.score(model, task)
    assert validation_task.score(model, task, np.full(N_ITEMS, 0.5, dtype=np.float32)) == validation_task.score(
        model, task
    )


def test_the_smoothing_is_the_quantile_of_popularity_that_scores_best(split_folder: Path, few: settings.Params) -> None:
    split = splits.load(split_folder)
    own = {"factors": 4, "iterations": 2, "alpha": 2.0, "regularization": 1.0, "half_life_days": 30.0}
    few = few.model_copy(update={"models": {"als_long": {}}}).with_data(models={"als_long": own})
    found = search_module.find_smoothing(split_folder, few)
    model, task = (
        als.fit(split.training("valid", few.seed, 1), als.Config(**own)),
        validation_task.draw_task(split, few, 5),
    )
    recent, popularity = half_life.demand(split, few.data.recent_half_life_days)
    quantiles = np.quantile(popularity[popularity > 0], search_module.QUANTILES).round()
    scores = [validation_task.score(model, task, recent / (popularity + np.float32(one))) for one in quantiles]
    assert len(set(scores)) > 1
    assert found == quantiles[int(np.argmax(scores))]

    without = few.model_copy(update={"variants": {"als": few.variants["als"]}})
    assert search_module.find_smoothing(split_folder, without) == quantiles[2]


def test_the_score_is_what_a_naive_ranking_gives(split_folder: Path, few: settings.Params) -> None:
    split = splits.load(split_folder)
    config = als.Config(factors=4, iterations=3, alpha=2.0, regularization=1.0, half_life_days=30)
    model = als.fit(split.training("valid", 1, 1), config)
    task = validation_task.draw_task(split, few, few.evaluate.warm_events)
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
    assert len(values) == len(task.histories) > 20
    assert validation_task.score(model, task) == pytest.approx(np.mean(values), abs=1e-6)


def test_what_cannot_be_tuned_is_one_clear_line(
    split_folder: Path, few: settings.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParamsError, match=r"no file recsys/models/alz\.py"):
        search("alz", split_folder, few.model_copy(update={"models": {"alz": {}}}), 1, True)
    monkeypatch.delattr(als, "suggest")
    with pytest.raises(ParamsError, match="has no `suggest`"):
        search("als", split_folder, few, 1, True)
    assert search("als", split_folder, few, 1, False).settings == few.model("als")


def test_where_nobody_is_warm_whoever_is_asked_takes_the_exam(split_folder: Path, few: settings.Params) -> None:
    split = splits.load(split_folder)
    assert (
        len(validation_task.draw_task(split, few, 10_000).histories)
        == len(validation_task.draw_task(split, few, 0).histories)
        > 20
    )
    two = few.model_copy(update={"tune": few.tune.model_copy(update={"max_users": 2})})
    assert len(validation_task.draw_task(split, two, 0).histories) == 2


def test_a_trial_is_fitted_on_some_users_of_a_large_log(split_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = splits.load(split_folder).training("valid", 1, 1)
    assert search_module.of_some_users(training) is training
    monkeypatch.setattr(search_module, "MOST_EVENTS", training.interactions.height // 3)
    some = search_module.of_some_users(training).interactions
    assert 0.5 < 3 * some.height / training.interactions.height < 1.5
    of_all, of_some = (each.group_by("user_row").len().sort("user_row") for each in (training.interactions, some))
    assert of_some.equals(of_all.filter(of_all["user_row"].is_in(of_some["user_row"].implode())))
