"""Segments part the users by what is known of them, and the targets by whether anybody knew them."""

import numpy as np

from recsys.evaluation import segments
from recsys.evaluation.sample import Sample


def test_users_fall_into_exactly_one_of_warm_few_and_cold(sample: Sample) -> None:
    by_name = {segment.name: segment for segment in segments.build(sample, 5)}
    parts = np.stack([by_name[name].users for name in ("warm", "few", "cold_user")])
    assert (parts.sum(axis=0) == 1).all()
    assert parts.sum(axis=1).tolist() == [20, 20, 20]
    assert by_name["all"].users.all()
    assert by_name["all"].targets.all()


def test_the_border_of_warm_is_the_setting(sample: Sample) -> None:
    assert segments.warm(sample, 8).users.sum() == 20
    assert segments.warm(sample, 9).users.sum() == 0
    assert segments.few(sample, 9).users.sum() == 40


def test_cold_item_keeps_only_targets_without_events(sample: Sample) -> None:
    kept = sample.targets.keep(segments.cold_item(sample).targets)
    assert len(kept.rows)
    assert (kept.rows >= 30).all()
    assert len(kept.rows) == (sample.targets.rows >= 30).sum()
