"""A planted confidence is found again; what cannot be is not made up; a window is cut to the length of the other."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.bundle.calibration import Calibration
from recsys.data.split import Split
from recsys.evaluation import answers, fit_calibration, reliability, sample
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.sample import ranker_holdout_users
from recsys.recommend.recommender import Recommender
from tests.data import made_split, test_split_protocols
from tests.evaluation import world
from tests.evaluation.world import World
from tests.support import bundles

K = 10


def slots(
    n_users: int, seed: int, bias: float = -2.0, score: float = 0.0, rank: float = 0.0, known: float = 0.0
) -> pl.DataFrame:
    """Slots that are wanted with the probability of the formula, scale 1."""
    rng = np.random.default_rng(seed)
    users, ranks = np.repeat(np.arange(n_users), K), np.tile(np.arange(1, K + 1), n_users)
    scores, events = rng.exponential(1.0, len(users)), np.repeat(rng.integers(0, 50, n_users), K)
    z = bias + score * np.arcsinh(scores / np.median(scores)) + rank * np.log(ranks) + known * np.log1p(events)
    wanted = rng.random(len(users)) < 1 / (1 + np.exp(-z))
    columns = [users, np.full(len(users), "als"), scores, ranks, events, wanted]
    return pl.DataFrame(dict(zip(fit_calibration.SCHEMA, columns, strict=True)), schema=fit_calibration.SCHEMA)


def fit(table: pl.DataFrame) -> Calibration:
    return Calibration(horizon_days=7.0, curves={"als": fit_calibration.curves(table, seed=1)})


def test_a_planted_curve_is_found_again() -> None:
    curve = fit(slots(6000, 1, score=0.8, rank=-0.6, known=0.3)).curves["als"]["als"]
    assert (curve.bias, curve.score, curve.rank, curve.known) == pytest.approx((-2.0, 0.8, -0.6, 0.3), abs=0.1)


def test_other_users_get_what_they_were_promised() -> None:
    found, others = fit(slots(3000, 1, score=0.8, rank=-0.6)), slots(3000, 2, score=0.8, rank=-0.6)
    confidence = fit_calibration.confidences(found, "als", others)
    figures = reliability.figures(confidence, others["wanted"].to_numpy())
    assert figures["ece"] < 2 * figures["ece_by_chance"]


def test_a_score_that_says_nothing_is_left_out() -> None:
    assert fit(slots(2000, 3, rank=-0.6)).curves["als"]["als"].score == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("planted", [{"score": -0.8}, {"rank": 0.6}])
def test_confidence_never_falls_with_the_score_nor_rises_down_the_list(planted: dict[str, float]) -> None:
    curve = fit(slots(2000, 4, **planted)).curves["als"]["als"]
    assert curve.score >= 0 >= curve.rank


def test_few_finds_give_one_cautious_number() -> None:
    table = slots(30, 5, bias=-30.0)
    curve = fit(table).curves["als"]["als"]
    assert (curve.score, curve.rank, curve.known, curve.wanted) == (0, 0, 0, 0)
    assert curve.at(1.0, 1, 0) == pytest.approx(1 / (table.height + 2), rel=0.1)


def test_a_label_of_the_test_window_only_has_no_confidence() -> None:
    table = slots(100, 6)
    other = table.with_columns(label=pl.lit("new"))
    assert np.isnan(fit_calibration.confidences(fit(table), "als", other)).all()


def test_what_is_asked_is_what_the_main_path_answers(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, lambda n: np.random.default_rng(0).random((n, 3)).astype(np.float32))
    table = fit_calibration.ask(Recommender(made.bundle, "als"), made.split, made.sample, made.sample.targets, K, 1)
    assert table["user"].n_unique() == len(made.sample.users)
    assert set(table["label"]) == {"als", "popular (fallback)"}
    cold = table.filter(known=0)
    assert not cold.is_empty()
    assert set(cold["label"]) == {"popular (fallback)"}
    assert table["wanted"].sum() == brute_force(made)


def brute_force(made: World) -> int:
    found = 0
    for at, user in enumerate(made.sample.users.tolist()):
        targets = made.split.targets("test").filter(user_row=user)["item_row"].to_list()
        recommender = Recommender(made.bundle, "als")
        slots = answers.recommend_offline(recommender, made.split, "test", user, K, 1).slots
        found += sum(slot.row in targets for slot in slots)
        assert at < len(made.sample.users)
    return found


# ---- as long as the validation window


def test_the_test_window_is_cut_to_as_much_time(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, lambda n: np.ones((n, 3), dtype=np.float32))
    cut = fit_calibration.as_long_as_valid(made.split, made.sample, test_split_protocols.params())
    begin, end = made.split.facts.now["test"], made.split.facts.now["test"]
    end += made.split.facts.now["test"] - made.split.facts.now["valid"]
    assert begin < end < made.split.facts.now["all"]
    events = made.split.interactions.filter(pl.col("fold") == 2, pl.col("timestamp") < end)
    assert pairs(cut, made.sample.users) == wanted(made.split, events)
    assert 0 < len(cut.rows) < len(made.sample.targets.rows)


def test_where_users_have_clocks_it_is_cut_to_as_many_events() -> None:
    rng = np.random.default_rng(2)
    events = [
        (user, int(item), 50 * user + at) for user in range(30) for at, item in enumerate(rng.permutation(40)[:20])
    ]
    chosen = test_split_protocols.params(
        protocol="per_user_holdout", valid_share=0.1, test_share=0.2, cold_item_share=0.1, target_events=["purchase"]
    )
    split = made_split.make(test_split_protocols.table(events), test_split_protocols.items(40), chosen, 1)
    drawn = sample.draw(split, "test", np.zeros(40, dtype=np.float32), 100, 1)
    cut = fit_calibration.as_long_as_valid(split, drawn, chosen)
    known = set(split.fit_rows("test")["item_row"])
    kept = []
    for user in range(30):
        window = split.interactions.filter(pl.col("fold") == 2, pl.col("user_row") == user)
        for held_out in (False, True):
            rows = [row for row in window["item_row"] if (row not in known) == held_out]
            kept += [(user, row) for at, row in enumerate(rows) if at < len(rows) / 2]
    assert pairs(cut, drawn.users) == set(kept) & wanted(split, split.interactions)
    assert fit_calibration.horizon_days(split) is None


def pairs(ragged: Ragged, users: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(users[ragged.owners].tolist(), ragged.rows.tolist(), strict=True))


def wanted(split: Split, events: pl.DataFrame) -> set[tuple[int, int]]:
    return set(split.targets("test").rows()) & set(events.select("user_row", "item_row").rows())


def test_the_horizon_is_the_length_of_the_validation_window(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, lambda n: np.ones((n, 3), dtype=np.float32))
    seconds = made.split.now("test") - made.split.now("valid")
    assert fit_calibration.horizon_days(made.split) == pytest.approx(seconds / 86_400, abs=0.01)


def test_what_a_ranker_learned_from_is_not_asked(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, lambda n: np.random.default_rng(0).random((n, 3)).astype(np.float32))
    settings = bundles.settings()
    able = {name: variant for name, variant in settings.variants.items() if set(variant.models) <= {"als"}}
    settings = settings.model_copy(update={"variants": able})
    asking_users = made.split.targets("valid")["user_row"].unique().to_numpy()
    others = asking_users[ranker_holdout_users(made.split.users["user_id"][asking_users])]
    asked = sample.draw(made.split, "valid", made.bundle.catalogue.popularity, 1000, 1)
    learned = settings.model_copy(update={"rankers": {"recency": None}})
    for variant, n_others in (("als_recent", len(others)), ("als", len(asking_users))):
        for given, n_users in ((settings, len(asking_users)), (learned, n_others)):
            curves = fit_calibration.on_valid(made.bundle, made.split, variant, asked, given, K)
            assert sum(curve.slots for curve in curves.values()) == K * n_users
    assert 0 < len(others) < len(asking_users)


def test_a_score_that_tells_all_apart_gives_finite_numbers() -> None:
    """Newton's method without a bound on its steps ends at a bias of minus two million here."""
    score = np.linspace(0, 1, 2000) ** 8 * 500
    numbers = fit_calibration._platt(np.column_stack([np.ones(2000), score]), score > 400)
    assert np.abs(numbers).max() < 100
    assert numbers[0] + numbers[1] * 500 > 2
    assert numbers[0] + numbers[1] * 300 < -2
