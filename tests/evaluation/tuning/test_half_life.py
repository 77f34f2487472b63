"""The half-life of popularity is found where it was planted, and its score is the NDCG of a naive list."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from recsys import params as settings
from recsys.data.split import Split
from recsys.evaluation.tuning import half_life, validation_task
from tests.data.made_split import make
from tests.data.test_split_protocols import items, params, table

DAY = 1440  # minutes, in which the table counts
N_ITEMS, N_EVENTS = 60, 6_000


def drawn(lives_days: float, days: int) -> Split:
    """A log in which an item sells for `lives_days`, then the next ones do."""
    draw = np.random.default_rng(0)
    minute = np.sort(draw.integers(days * DAY, size=N_EVENTS))
    slot = (minute / DAY / lives_days).astype(int)
    bought = (slot * 3 + (draw.random(N_EVENTS) ** 2 * 3).astype(int)) % N_ITEMS
    rows = list(zip(draw.integers(300, size=N_EVENTS).tolist(), bought.tolist(), minute.tolist(), strict=True))
    return make(table(rows), items(N_ITEMS), params(allow_repeat=True), seed=1)


@pytest.fixture
def shop(root: Path) -> settings.Params:
    content = yaml.safe_load((root / "params.yaml").read_text())
    return settings.parse(settings.Params, {**content, "dataset": "synthetic"}, "test")


@pytest.mark.parametrize(("lives_days", "days", "most"), [(0.5, 5, 1.0), (40.0, 100, 64.0)])
def test_what_ages_fast_gets_a_short_half_life(
    lives_days: float, days: int, most: float, shop: settings.Params
) -> None:
    found = half_life.find(drawn(lives_days, days), shop)
    assert found <= most
    assert half_life.find(drawn(lives_days, days), shop) == found


def test_what_never_ages_gets_the_longest(shop: settings.Params) -> None:
    draw = np.random.default_rng(0)
    minute, bought = np.sort(draw.integers(50 * DAY, size=N_EVENTS)), (draw.random(N_EVENTS) ** 2 * N_ITEMS).astype(int)
    rows = list(zip(draw.integers(300, size=N_EVENTS).tolist(), bought.tolist(), minute.tolist(), strict=True))
    split = make(table(rows), items(N_ITEMS), params(allow_repeat=True), seed=1)
    assert half_life.find(split, shop) >= 1000


def test_the_score_of_one_list_is_that_of_a_naive_one(shop: settings.Params) -> None:
    split = drawn(2.0, 20)
    task = validation_task.draw_task(split, shop, 0)
    order = np.random.default_rng(1).permutation(N_ITEMS).astype(np.int32)
    for allow_repeat in (True, False):
        asked = validation_task.ValidationTask(task.histories, task.nows, task.targets, task.available, allow_repeat)
        values = []
        users = split.targets("valid")["user_row"].unique().sort()
        for user, history in zip(users, task.histories, strict=True):
            seen = set() if allow_repeat else set(history.rows.tolist())
            shown = [row for row in order.tolist() if row not in seen][:10]
            wanted = set(split.targets("valid").filter(user_row=user)["item_row"])
            gain = sum(1 / np.log2(rank + 2) for rank, row in enumerate(shown) if row in wanted)
            values.append(gain / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(wanted)))))
        assert validation_task.score_order(order, asked) == pytest.approx(np.mean(values))


def test_the_half_life_of_repeats_is_short_where_users_move_on(shop: settings.Params) -> None:
    """Every two days users buy an item of theirs, or another one; for good, or for thirty days."""
    found = {}
    for lasts in (30, 1_000):
        draw, rows = np.random.default_rng(0), []
        for user in range(60):
            for day in (np.arange(0, 200, 2) + draw.random(100)).tolist():
                own = (user + int((day + 13) // lasts) * 7) % N_ITEMS
                rows.append((user, own if draw.random() < 0.5 else int(draw.integers(N_ITEMS)), int(day * DAY)))
        split = make(table(rows), items(N_ITEMS), params(allow_repeat=True), seed=1)
        found[lasts] = half_life.of_repeats(split, shop)
        assert half_life.of_repeats(split, shop) == found[lasts]
    assert found[30] < found[1_000]

    first_only = make(table(rows), items(N_ITEMS), params(allow_repeat=False), seed=1)
    assert half_life.of_repeats(first_only, shop) == shop.data.recent_half_life_days
