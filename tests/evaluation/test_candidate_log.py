"""The later half of a window, on which trees are compared with blends, also exists where an export has no order."""

import numpy as np

from recsys.data.split import Split
from recsys.evaluation.candidate_log import late_targets
from tests.data.made_split import make
from tests.data.test_split_protocols import items, params, table


def made(events: list[tuple[int, int, int]]) -> Split:
    return make(table(events), items(20), params(protocol="per_user_holdout"), seed=3)


def test_the_later_half_of_each_users_targets_is_late() -> None:
    split = made([(user, item, 100 * user + item) for user in range(6) for item in range(20)])
    found = late_targets(split, "test")
    assert len(found) == 6
    for rows in found.values():  # the last 4 of 20 are test
        assert sorted(split.catalogue["item_id"].gather(rows)) == ["i18", "i19"]


def test_targets_of_one_moment_are_halved_at_random() -> None:
    split = made([(user, item, user) for user in range(40) for item in range(20)])
    found = late_targets(split, "test")
    assert 0.35 < sum(len(rows) for rows in found.values()) / split.targets("test").height < 0.65
    assert len({len(rows) for rows in found.values()}) > 1
    assert all(np.array_equal(rows, found[user]) for user, rows in late_targets(split, "test").items())
