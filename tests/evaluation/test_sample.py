"""The sample is a fair draw of the users with targets; items are alike as their categories, or else titles, are."""

from pathlib import Path

import numpy as np
import polars as pl

from recsys.evaluation import sample
from tests.evaluation import world


def random_vectors(n_items: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_items, 4)).astype(np.float32)


def test_targets_and_histories_are_those_of_the_split(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, random_vectors)
    targets, fitted = made.split.targets("test"), made.split.fit_rows("test")
    assert made.sample.users.tolist() == sorted(set(targets["user_row"]))
    for at, user in enumerate(made.sample.users.tolist()):
        for got, wanted in ((made.sample.targets, targets), (made.sample.histories, fitted)):
            mine = got.rows[got.indptr[at] : got.indptr[at + 1]]
            assert mine.tolist() == wanted.filter(user_row=user)["item_row"].to_list()
    assert made.sample.n_fitted == fitted["user_row"].n_unique()
    for row in range(world.N_ITEMS):
        events, later = fitted.filter(item_row=row).height, made.split.interactions.filter(item_row=row, fold=2).height
        assert made.sample.known_events[row] == events
        assert made.sample.arrived[row] == (events == 0 and later > 0)
    assert (made.sample.histories.lengths == 0).any(), "a cold user belongs to this test"


def test_liked_items_and_idle_days_are_those_of_the_history(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, random_vectors)
    end = made.split.now("test")
    for at, user in enumerate(made.sample.users.tolist()):
        mine = made.split.fit_rows("test").filter(user_row=user)
        assert made.sample.liked[at] == mine.filter(pl.col("weight") > 0)["item_row"].n_unique()
        if mine.height:
            idle = (end - mine["timestamp"].to_list()[-1].timestamp()) / 86_400
            np.testing.assert_allclose(made.sample.idle_days[at], idle)
        else:
            assert np.isnan(made.sample.idle_days[at])


def test_fewer_users_are_a_seeded_draw_in_order(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, random_vectors)
    popularity = made.bundle.catalogue.popularity
    draws = [sample.draw(made.split, "test", popularity, 10, seed).users.tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert all(draw == sorted(draw) and len(draw) == 10 for draw in draws)
    assert set(draws[0]) <= set(made.sample.users.tolist())
    often = np.bincount(
        np.concatenate([sample.draw(made.split, "test", popularity, 10, seed).users for seed in range(200)]),
        minlength=made.split.users.height,
    )[made.sample.users]
    expected = 200 * 10 / len(made.sample.users)
    assert abs(often - expected).max() < 5 * np.sqrt(expected)


def catalogue(categories: list[list[str]], titles: list[str]) -> pl.DataFrame:
    columns = {"row": np.arange(len(titles), dtype=np.int32), "title": titles, "categories": categories}
    return pl.DataFrame(columns, schema_overrides={"categories": pl.List(pl.String)})


def test_content_is_the_categories_of_an_item() -> None:
    made = sample.content(catalogue([["a", "b"], ["b", "b"], [], ["c"]], ["same"] * 4))
    alike = (made @ made.T).toarray()
    half = 1 / np.sqrt(2)
    wanted = [[1, half, 0, 0], [half, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(alike, wanted, atol=1e-12)


def test_without_any_category_content_is_the_words_of_the_title() -> None:
    made = sample.content(catalogue([[], [], [], []], ["Red mug", "RED, mug!", "red häkel-hat", ""]))
    alike = (made @ made.T).toarray()
    np.testing.assert_allclose(alike[0], [1, 1, 1 / np.sqrt(6), 0], atol=1e-12)
    assert alike[3].tolist() == [0, 0, 0, 0]
