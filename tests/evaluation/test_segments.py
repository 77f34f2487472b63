"""Segments part the users by what is known of them, and the targets by whether anybody knew them."""

import json

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.evaluation import segments
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import PLAIN, Segment
from recsys.params import EvaluateParams


def one(sample: Sample, name: str, settings: EvaluateParams, **changes: float) -> Segment:
    """The segment of this name, with some settings changed."""
    built = segments.build(sample, settings.model_copy(update=changes))
    return next(part for part in built if part.name == name)


def test_users_fall_into_exactly_one_of_warm_few_and_cold(parts: list[Segment]) -> None:
    by_name = {segment.name: segment for segment in parts}
    users = np.stack([by_name[name].users for name in ("warm", "few", "cold_user")])
    assert (users.sum(axis=0) == 1).all()
    assert users.sum(axis=1).tolist() == [20, 20, 20]
    assert by_name["all"].users.all()
    assert by_name["all"].targets.all()


def test_the_border_of_warm_is_the_setting(sample: Sample, settings: EvaluateParams) -> None:
    assert one(sample, "warm", settings, warm_events=8).users.sum() == 20
    assert one(sample, "warm", settings, warm_events=9).users.sum() == 0
    assert one(sample, "few", settings, warm_events=9).users.sum() == 40


def test_cold_item_keeps_only_targets_that_arrive(sample: Sample, settings: EvaluateParams) -> None:
    kept = sample.targets.keep(one(sample, "cold_item", settings).targets)
    assert len(kept.rows)
    assert (kept.rows >= 30).all()
    assert len(kept.rows) == (sample.targets.rows >= 30).sum()


def test_cold_item_only_differs_by_what_may_be_answered(sample: Sample, settings: EvaluateParams) -> None:
    among_all, among_new = (one(sample, name, settings) for name in ("cold_item", "cold_item_only"))
    assert (among_all.targets == among_new.targets).all()
    assert (among_all.mode, among_new.mode.arrived_only) == (PLAIN, True)


def test_only_known_users_can_be_dormant(sample: Sample, settings: EvaluateParams) -> None:
    assert np.flatnonzero(one(sample, "dormant", settings, dormant_days=30).users).tolist() == list(range(20))
    assert not one(sample, "dormant", settings, dormant_days=40).users.any()


def test_new_users_are_the_same_users_with_the_same_targets(sample: Sample, parts: list[Segment]) -> None:
    new = [part for part in parts if part.name.startswith(segments.NEW_USER)]
    assert [part.mode.known_items for part in new] == [0, 1, 3]
    for part in new:
        assert part.targets.all()
        assert (part.users == (sample.liked >= 3)).all()


def test_names_are_those_of_the_segments(parts: list[Segment], settings: EvaluateParams) -> None:
    assert [part.name for part in parts] == segments.names(settings)
    assert len({part.name for part in parts}) == len(parts)


def test_who_has_nothing_to_find_does_not_count(sample: Sample, settings: EvaluateParams) -> None:
    part = one(sample, "cold_item", settings)
    wanting = {int(owner) for owner in sample.targets.owners[sample.arrived[sample.targets.rows]]}
    assert 0 < len(wanting) < len(sample.users)
    assert set(np.flatnonzero(part.counted(sample)).tolist()) == wanting


def test_the_ages_part_the_targets_by_when_they_were_chosen(sample: Sample, parts: list[Segment]) -> None:
    ages = [part for part in parts if part.name.startswith("age_")]
    assert (np.sum([part.targets for part in ages], axis=0) == 1).all()
    assert ages[0].meaning == "only what was chosen 0 to 5 days after the model was fitted"
    assert (sample.age[ages[3].targets] >= 0.75).all()


def test_repeats_and_first_purchases_part_the_targets(sample: Sample, settings: EvaluateParams) -> None:
    again, first = (one(sample, name, settings) for name in ("repeat", "first"))
    assert (again.targets ^ first.targets).all()
    for user, row, repeats in zip(sample.targets.owners, sample.targets.rows, again.targets, strict=True):
        history = sample.histories.rows[sample.histories.indptr[user] : sample.histories.indptr[user + 1]]
        assert (row in history) == repeats


def test_users_by_the_frequent_values_of_an_attribute_the_others_and_those_without(sample: Sample) -> None:
    n_users = int(sample.users.max()) + 1
    values = [f"$v{user % 12}$" if user % 3 else None for user in range(n_users)]
    texts = [None if value is None else json.dumps({"plan": value, "age": 3}) for value in values]
    found = segments.by_attribute(sample, pl.DataFrame({"attributes": texts}), "plan")
    names = [part.name for part in found]
    assert len(names) == segments.VALUES + 2 == 10
    assert names[-2:] == ["plan: other", "plan: unknown"]
    # every user of the sample is in exactly one, and what is in a named one has its value
    assert (np.stack([part.users for part in found]).sum(axis=0) == 1).all()
    sizes = [int(part.users.sum()) for part in found[: segments.VALUES]]
    assert sizes == sorted(sizes, reverse=True)
    for part in found[: segments.VALUES]:
        assert {values[user] for user in sample.users[part.users]} == {part.name.removeprefix("plan=")}
    assert {values[user] for user in sample.users[found[-1].users]} == {None}
    assert all(part.targets.all() for part in found)


def test_no_attribute_makes_no_segments_and_an_unknown_one_is_one_line(
    sample: Sample, parts: list[Segment], settings: EvaluateParams
) -> None:
    users = pl.DataFrame({"attributes": ['{"plan":"a"}'] * (int(sample.users.max()) + 1)})
    assert len(segments.build(sample, settings, users)) == len(parts)
    assert segments.build(sample, settings, users, "plan")[-3].name == "plan=a"
    for table in (users, users.select(user_id="attributes")):
        with pytest.raises(DataError, match=r"^segment_users_by: no user has the attribute 'land': correct it"):
            segments.by_attribute(sample, table, "land")
