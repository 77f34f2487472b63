from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys.data import split as splits
from recsys.errors import DataError
from recsys.params import SplitParams
from tests.data.made_split import make

START = datetime(2024, 1, 1, tzinfo=UTC)


def table(events: list[tuple[int, int, int]]) -> pl.LazyFrame:
    """(user, item, minute) triples -> canonical interactions, all purchases."""
    return pl.DataFrame(
        {
            "user_id": [f"u{user}" for user, _, _ in events],
            "item_id": [f"i{item}" for _, item, _ in events],
            "timestamp": [START + timedelta(minutes=minute) for _, _, minute in events],
            "event": ["purchase"] * len(events),
            "value": [None] * len(events),
            "weight": [1.0] * len(events),
        },
        schema={
            "user_id": pl.String,
            "item_id": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
            "event": pl.String,
            "value": pl.Float64,
            "weight": pl.Float32,
        },
    ).lazy()


def items(n: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [f"i{number}" for number in range(n)],
            "title": "t",
            "text": "",
            "categories": [[]] * n,
            "price": None,
            "available": True,
            "first_seen": None,
        },
        schema_overrides={
            "categories": pl.List(pl.String),
            "price": pl.Float64,
            "first_seen": pl.Datetime("us", "UTC"),
        },
    )


def params(**changes: Any) -> SplitParams:
    base = {"protocol": "global_time", "valid_share": 0.1, "test_share": 0.2, "target_events": ["purchase"]}
    return SplitParams(**{**base, **changes})


N_ITEMS = 12
EVENTS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, N_ITEMS - 1), st.integers(0, 300)), min_size=60, max_size=120
)


def random_events(n: int = 600, n_users: int = 20, seed: int = 0, n_items: int = N_ITEMS) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    return list(zip(*(rng.integers(0, top, n).tolist() for top in (n_users, n_items, 10_000)), strict=True))


def made(events: list[tuple[int, int, int]], **changes: Any) -> splits.Split:
    try:
        return make(table(events), items(N_ITEMS), params(**changes), seed=3)
    except DataError:  # too few events for three windows: not what these properties are about
        assume(False)


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_a_global_cut_never_trains_on_the_window_or_after_it(events: list[tuple[int, int, int]]) -> None:
    split = made(events)
    at_one_moment = Counter(minute for _, _, minute in events).most_common(1)[0][1]
    for fold in ("valid", "test"):
        start = split.facts.now[fold]
        before = split.fit_rows(fold)["timestamp"]
        # a moment is only cut where one holds a whole window
        assert (before < start).all() or ((before <= start).all() and at_one_moment >= 0.1 * len(events) - 1)
        window = split.interactions.filter(pl.col("fold") == splits.WINDOWS[fold])
        assert window["timestamp"].min() == start


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.sampled_from([0.0, 0.2]))
def test_a_per_user_cut_never_trains_on_what_comes_after_the_users_own_window(
    events: list[tuple[int, int, int]], cold_item_share: float
) -> None:
    split = made(events, protocol="per_user_holdout", cold_item_share=cold_item_share)
    held_out = {*split.cold_items("test").tolist(), *split.cold_items("valid").tolist()}
    ordinary = split.interactions.filter(~pl.col("item_row").is_in(held_out))
    per_user = ordinary.group_by("user_row", "fold").agg(pl.col("timestamp").min(), last=pl.col("timestamp").max())
    for user_rows in per_user.sort("fold").partition_by("user_row"):
        assert all(user_rows["last"][:-1] <= user_rows["timestamp"][1:])


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.sampled_from(["global_time", "per_user_holdout"]))
def test_no_target_is_in_the_history(events: list[tuple[int, int, int]], protocol: str) -> None:
    split = made(events, protocol=protocol)
    for fold in ("valid", "test"):
        history = split.fit_rows(fold).select(splits.PAIR)
        targets = split.targets(fold)
        assert targets.join(history, on=splits.PAIR, how="semi").is_empty()
        assert targets.height == targets.unique().height > 0


@settings(max_examples=30, deadline=None)
@given(EVENTS, st.sampled_from(["global_time", "per_user_holdout"]))
def test_every_interaction_is_kept_once_under_its_ids(events: list[tuple[int, int, int]], protocol: str) -> None:
    split = made(events, protocol=protocol)
    back = (
        split.interactions.join(split.users, on="user_row")
        .join(split.catalogue.select("row", "item_id"), left_on="item_row", right_on="row")
        .select("user_id", "item_id", "timestamp")
    )
    given_rows = table(events).select("user_id", "item_id", "timestamp").collect()
    assert back.sort(back.columns).equals(given_rows.sort(back.columns))
    assert split.interactions.equals(split.interactions.sort("user_row", "timestamp", "item_row", maintain_order=True))


def test_the_row_order_is_drawn_from_the_seed_and_says_nothing_about_the_id() -> None:
    one, same = (make(table(random_events()), items(N_ITEMS), params(), seed=3) for _ in range(2))
    other = make(table(random_events()), items(N_ITEMS), params(), seed=4)
    assert one.catalogue.equals(same.catalogue)
    assert one.interactions.equals(same.interactions)
    assert one.catalogue["item_id"].to_list() != other.catalogue["item_id"].to_list()
    assert one.catalogue["item_id"].to_list() != sorted(one.catalogue["item_id"])


def test_the_order_of_the_raw_rows_does_not_matter() -> None:
    events = list(dict.fromkeys(random_events()))
    one = make(table(events), items(N_ITEMS), params(), seed=3)
    turned = make(table(events[::-1]), items(N_ITEMS), params(), seed=3)
    assert one.interactions.equals(turned.interactions)


def test_windows_have_the_shares_asked_for() -> None:
    events = [(n % 20, n % N_ITEMS, n) for n in range(1000)]
    for protocol in ("global_time", "per_user_holdout"):
        split = make(table(events), items(N_ITEMS), params(protocol=protocol, allow_repeat=True), seed=3)
        assert split.facts.events == {"train": 700, "valid": 100, "test": 200}


def test_repeats_are_targets_only_where_allowed() -> None:
    events = [(n % 5, n // 5 % 3, n) for n in range(300)]
    with pytest.raises(DataError, match="no target in valid"):
        make(table(events), items(N_ITEMS), params(), seed=3)
    split = make(table(events), items(N_ITEMS), params(allow_repeat=True), seed=3)
    assert split.targets("test").height == 15


def test_only_target_events_are_targets() -> None:
    events = table(random_events()).with_columns(
        event=pl.when(pl.col("item_id") == "i0").then(pl.lit("purchase")).otherwise(pl.lit("view"))
    )
    split = make(events, items(N_ITEMS), params(allow_repeat=True), seed=3)
    asked = split.catalogue["item_id"].gather(split.targets("test")["item_row"])
    assert set(asked) == {"i0"}


def test_held_out_items_are_cold_and_unrelated_to_the_row_order() -> None:
    split = made(random_events(), protocol="per_user_holdout", cold_item_share=0.4)
    cold = split.cold_items("test")
    assert len(cold) == 5
    assert cold.tolist() not in ([0, 1, 2, 3, 4], [7, 8, 9, 10, 11])
    events_of_cold = split.interactions.filter(pl.col("item_row").is_in(cold.tolist()))
    assert events_of_cold["fold"].unique().to_list() == [2]
    assert split.facts.windows["test"].cold_items > 0


def test_items_are_held_out_of_the_validation_window_too_and_those_of_the_test_do_not_exist_in_it() -> None:
    events = random_events(40_000, n_users=40, n_items=400)
    split = make(
        table(events), items(400), params(protocol="per_user_holdout", cold_item_share=0.1, allow_repeat=True), seed=3
    )
    of_test, of_valid = set(split.cold_items("test").tolist()), set(split.cold_items("valid").tolist())
    assert len(of_test) == 40
    assert len(of_valid - of_test) == 23  # 6.5 % of the others

    share = {}  # of the window's events that new items have
    new_in: dict[splits.ScoredFold, set[int]] = {"valid": of_valid, "test": of_test}
    for fold, new in new_in.items():
        window = split.interactions.filter(pl.col("fold") == splits.WINDOWS[fold])
        share[fold] = window["item_row"].is_in(new).mean()
        assert not split.fit_rows(fold)["item_row"].is_in(new).any()
    assert share["test"] == pytest.approx(0.1 / 0.28, rel=0.1)
    assert share["valid"] == pytest.approx(share["test"], rel=0.1)

    assert not split.targets("valid")["item_row"].is_in(of_test).any()
    assert set(np.flatnonzero(~split.available("valid")).tolist()) == of_test
    assert split.available("test").all()


def test_what_is_test_does_not_depend_on_the_items_held_out_of_the_validation_window() -> None:
    events = table(random_events(4_000))
    one, other = (
        make(
            events,
            items(N_ITEMS),
            params(protocol="per_user_holdout", cold_item_share=0.2, valid_share=share, allow_repeat=True),
            seed=3,
        )
        for share in (0.02, 0.3)
    )
    assert len(one.cold_items("valid")) == 2 < len(other.cold_items("valid"))
    for split in (one, other):
        later = split.cold_items("valid")[~np.isin(split.cold_items("valid"), split.cold_items("test"))]
        assert set(split.interactions.filter(pl.col("item_row").is_in(later))["fold"]) <= {1, 2}
    assert one.fit_rows("test").drop("fold").equals(other.fit_rows("test").drop("fold"))


def test_cold_items_are_those_without_an_event_in_the_fit_set() -> None:
    events = [(n % 5, n % 4, n) for n in range(100)] + [(7, 9, 200 + n) for n in range(2)] + [(1, 9, 205)]
    split = make(table(events), items(N_ITEMS), params(allow_repeat=True), seed=3)
    cold_items = set(split.catalogue["item_id"].gather(split.cold_items("test")))
    assert cold_items == {f"i{number}" for number in range(4, N_ITEMS)}
    assert split.facts.windows["test"].cold_users == 1
    assert split.facts.windows["test"].cold_items == 1


def test_an_item_is_first_seen_at_its_first_event_or_when_the_shop_says() -> None:
    given_later = items(N_ITEMS).with_columns(first_seen=pl.lit(START + timedelta(minutes=50)).dt.cast_time_unit("us"))
    events = [(n % 5, n % 4, n) for n in range(1000)]
    split = make(table(events), given_later, params(allow_repeat=True), seed=3)
    first_seen = dict(split.catalogue.select("item_id", "first_seen").iter_rows())
    assert first_seen["i2"] == START + timedelta(minutes=2)
    assert first_seen["i9"] == START + timedelta(minutes=50)


@pytest.mark.parametrize(
    ("events", "n_items", "said"),
    [
        ([], 12, "0 user"),
        ([(0, n % 5, n) for n in range(50)], 12, "1 user"),
        ([(n % 5, 0, n) for n in range(50)], 1, "1 item"),
        ([(n, n, n) for n in range(3)], 12, "is in the window 'valid', expected at least 1"),
        ([(n % 5, 20, n) for n in range(50)], 12, "'i20' is not in items"),
    ],
)
def test_what_cannot_be_split_is_one_clear_line(events: list[tuple[int, int, int]], n_items: int, said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        make(table(events), items(n_items), params(), seed=3)
    assert "\n" not in str(error.value)


def test_now_is_the_last_event_that_a_fold_is_fitted_on() -> None:
    split = made(random_events(), protocol="per_user_holdout")
    last = [split.interactions.filter(pl.col("fold") <= fold)["timestamp"].max() for fold in range(3)]
    assert list(split.facts.now.values()) == last
    assert last[0] != last[1]


def test_who_asks_when_follows_from_the_protocol() -> None:
    """With one clock everybody asks at the cut, without one at their own last event."""
    asked = {
        name: made(random_events(), protocol=name).facts.query_time for name in ("global_time", "per_user_holdout")
    }
    assert asked == {"global_time": "now", "per_user_holdout": "last_event"}


def test_two_users_and_two_items_are_enough() -> None:
    events = table([(n % 2, n % 2, n) for n in range(40)])
    split = make(events, items(2), params(allow_repeat=True), seed=3)
    assert (split.facts.n_users, split.facts.n_items) == (2, 2)


@pytest.mark.parametrize("later", [[], [(0, 11, 1)]])
def test_a_moment_is_cut_at_random_where_a_window_would_be_empty(later: list[tuple[int, int, int]]) -> None:
    """As in an export without times, or with dates alone."""
    events = [(n % 5, n % 12, 0) for n in range(60)] + later
    split, again = (make(table(events), items(N_ITEMS), params(), seed=3) for _ in range(2))
    assert split.interactions.equals(again.interactions)
    train, valid, test = np.bincount(split.interactions["fold"].to_numpy())
    assert (train, valid, test) == ((43, 6, 12) if later else (42, 6, 12))
    assert split.interactions.sort("timestamp")["fold"][-1] == 2 or not later
    assert split.facts.windows["test"].users > 1


def test_held_out_items_belong_to_the_per_user_protocol() -> None:
    with pytest.raises(DataError, match="cold_item_share"):
        make(table(random_events()), items(N_ITEMS), params(cold_item_share=0.1), seed=3)
