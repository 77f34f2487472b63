"""What people do now: the same sums as a loop over persons, in any order of arrival, bounded for each person."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, History, LiveCounts, Query
from recsys.recommend import live_counts
from recsys.recommend.live_counts import SCHEMA, LiveEvents
from recsys.recommend.recommender import Recommender
from recsys.sources import live_covisit
from tests.support import bundles

TRAINED = bundles.NOW.timestamp()
DAY = 86_400.0
NOW = TRAINED + 2 * DAY
Row = tuple[str, str, str, bool, float, float]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("live") / "bundle"))


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def likes(*rows: Row, max_events: int = 1000, max_person_day: int | None = 20) -> pl.DataFrame:
    events = LiveEvents(max_events, max_person_day)
    events.add(frame(list(rows)))
    return events.likes(TRAINED, NOW)


def like(event_id: str, person: str, item_id: str, age: float = 60.0, **changes: object) -> Row:
    row = {"liked": True, "time": NOW - age, "received": NOW - age, **changes}
    return event_id, person, item_id, *row.values()  # type: ignore[return-value]


def counted(shop: Bundle, found: pl.DataFrame, now: float = NOW) -> LiveCounts:
    return live_counts.count(found, shop, now, shop.catalogue.ids.position)


moments = st.floats(TRAINED - DAY, NOW + DAY).map(lambda moment: round(moment, 3))
rows = st.lists(
    st.tuples(
        st.integers(0, 60).map(str),
        st.sampled_from(["u:anna", "u:ben", "u:carl", "a:guest", "a:other", "a:third"]),
        st.sampled_from(["kitchen-1", "kitchen-2", "garden-10", "new-21", "born since"]),
        st.booleans(),
        moments,
        moments,
    ),
    max_size=60,
    unique_by=lambda row: row[0],
)


def by_hand(rows: list[Row], most_a_day: int) -> dict[str, float]:
    """The same with loops."""
    days: dict[tuple[str, float], int] = defaultdict(int)
    newest: dict[tuple[str, str], tuple[float, str, float]] = {}
    for event_id, person, item_id, liked, time, received in rows:
        moment = min(time, received)
        if moment <= NOW:
            days[person, moment // DAY] += 1
            if liked and moment > TRAINED:
                newest[person, item_id] = max(
                    newest.get((person, item_id), (0.0, "", 0.0)), (moment, event_id, received)
                )
    bots = {person for (person, _), n in days.items() if n > most_a_day}
    of: dict[str, list[str]] = defaultdict(list)
    for person, item_id in newest:
        if person not in bots:
            of[person].append(item_id)
    before: dict[str, float] = {}
    taken: dict[tuple[str, str], float] = {}
    for (person, item_id), (moment, _, received) in sorted(newest.items(), key=lambda pair: (pair[1][2], pair[0])):
        if person in bots:
            continue
        if person.startswith("a:"):
            since, before[item_id] = received - before.get(item_id, -np.inf), received
            if len(of[person]) == 1 or since <= 0.001:
                continue
        taken[person, item_id] = moment
    sizes = sorted(np.unique([person for person, _ in taken], return_counts=True)[1].tolist())
    most = sizes[int(0.95 * (len(sizes) - 1))] if sizes else 1
    summed: dict[str, float] = defaultdict(float)
    for (person, item_id), moment in taken.items():
        share = min(1.0, most / sum(person == other for other, _ in taken))
        summed[item_id] += share * 0.5 ** ((NOW - moment) / DAY / 7)
    return dict(summed)


@pytest.mark.parametrize("began", [0.0, 0.00995, 0.0099])
def test_of_guests_in_one_request_one_counts_for_an_item_whenever_the_request_came(began: float) -> None:
    """The events of a request are a microsecond apart; another request comes a tenth of a second later."""

    def request(item_id: str, name: str, at: float) -> list[Row]:
        times = [TRAINED + DAY + began + at + n / 1e6 for n in range(250)]
        return [(f"{name}{n}{item_id}", f"a:{name}{n}", item_id, True, time, time) for n, time in enumerate(times)]

    twice = [(item_id, name) for item_id in ("kitchen-1", "kitchen-2") for name in ("bot", "other")]
    sent = [row for at, (item_id, name) in enumerate(twice) for row in request(item_id, name, at / 10)]
    assert likes(*sent)["item_id"].value_counts(sort=True).rows() == [("kitchen-1", 2), ("kitchen-2", 2)]


@settings(deadline=None, max_examples=60)
@given(rows, st.randoms(use_true_random=False), st.integers(1, 12))
def test_the_sums_are_those_of_a_loop_in_any_order_and_however_often(
    rows: list[Row], draw: object, most_a_day: int
) -> None:
    shuffled = [*rows, *rows[::3]]
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    found = []
    for parts in ([rows], [shuffled[::2], shuffled[1::2]]):
        events = LiveEvents(1000, most_a_day)
        for part in parts:
            events.add(frame(part))
        found.append(live_counts.demand(events.likes(TRAINED, NOW), 7, NOW))
    assert found[0].equals(found[1])
    sums = dict(found[0].select("item_id", "demand").iter_rows())
    assert sums == pytest.approx(by_hand(rows, most_a_day))


def test_a_person_counts_once_for_an_item_and_has_no_more_to_give_than_the_busy_ones() -> None:
    crowd = [like(f"c{n}", f"u:{n}", f"item {n}") for n in range(40)]
    busy = [like(f"b{n}", "u:busy", f"item {n % 10}", age=n) for n in range(20)]
    found = likes(*crowd, *busy).filter(pl.col("person") == "u:busy")
    assert found.height == 10
    assert found["share"].sum() == pytest.approx(1)


def test_the_newest_events_are_kept_and_the_memory_is_bounded() -> None:
    events = LiveEvents(50, 10)
    events.add(frame([like(f"f{n}", "u:flood", "kitchen-1", age=n + 1) for n in range(1000)]))
    assert len(events) == 11, "one more than a person can do in a day"
    events.add(frame([like(f"c{n}", f"u:{n}", "kitchen-2", age=n / 10 + 1) for n in range(100)]))
    assert len(events) == 50
    assert events.likes(TRAINED, NOW)["time"].to_numpy().min() > NOW - 6


def test_without_events_the_order_is_that_of_the_training_however_old_it_is(shop: Bundle) -> None:
    for age in (0, 7, 700):
        found = counted(shop, likes(), TRAINED + age * DAY).popular
        query = Query(EMPTY_HISTORY, k=9, now=TRAINED)
        trained = Recommender(shop, "popular").recommend(query)
        assert [slot.row for slot in trained.slots] == [r for r in found.rows.tolist() if r != bundles.SOLD_OUT][:9]


def test_so_few_persons_bring_an_item_first_as_the_prior_says(shop: Bundle) -> None:
    """In a quiet shop whose training is long past."""
    long_past = shop.manifest.model_copy(update={"trained_until": bundles.NOW - timedelta(days=700)})
    quiet = replace(shop, manifest=long_past)
    most = live_counts.prior_persons(shop.catalogue) * shop.catalogue.recent.max() / shop.catalogue.recent.sum()
    assert most >= live_counts.FEWEST_PERSONS
    needed = next(
        n
        for n in range(1, 100)
        if counted(quiet, likes(*(like(str(at), f"u:{at}", "new-21") for at in range(n)))).popular.rows[0] == 21
    )
    assert needed >= np.floor(most) > 1


def test_the_prior_is_worth_fewer_persons_where_demand_drifts(shop: Bundle) -> None:
    draw = np.random.default_rng(1)
    ever = draw.zipf(1.5, 2000).clip(max=1000).astype(np.float32)
    steady = draw.multinomial(5000, ever / ever.sum()).astype(np.float32)
    drifted = steady[draw.permutation(2000)]
    worth = [
        live_counts.prior_persons(replace(shop.catalogue, popularity=ever, recent=recent))
        for recent in (steady, drifted)
    ]
    assert worth[0] > 1000 > 300 > worth[1]


def test_variants_read_the_counts_and_without_them_nothing_changes(shop: Bundle) -> None:
    found = counted(shop, likes(*(like(str(at), f"u:{at}", "garden-15") for at in range(30))))
    assert found.demand[15] == pytest.approx(30, rel=0.1)
    frozen = Query(shop.histories.of("ben"), k=5, now=TRAINED)
    live = replace(frozen, live=found)
    for variant in ("popular", "als_recent"):
        recommender = Recommender(shop, variant)
        assert recommender.recommend(live).slots[0].row == 15 != recommender.recommend(frozen).slots[0].row
    chosen = Recommender(shop, "popular").recommend(replace(live, categories=("kitchen",)))
    assert [slot.row for slot in chosen.slots if slot.row not in bundles.KITCHEN] == []


def test_times_in_the_future_are_those_of_arrival() -> None:
    found = likes(like("future", "u:a", "kitchen-1", time=NOW + 99 * DAY), like("old", "u:b", "kitchen-2", age=3 * DAY))
    assert dict(found.select("item_id", "time").iter_rows()) == {"kitchen-1": NOW - 60}


def test_what_follows_in_a_session_has_a_direction_and_counts_persons(shop: Bundle) -> None:
    """Ten read 1 and then 2, one of them again and again; one read 3 an hour later."""
    first = [like(f"a{n}", f"u:{n}", "kitchen-1", age=5000) for n in range(10)]
    then = [like(f"b{n}", f"u:{n}", "kitchen-2", age=4900) for n in range(10)]
    again = [like(f"c{n}", "u:0", "kitchen-1", age=5100 + n) for n in range(20)]
    later = [like("d", "u:1", "kitchen-3", age=2000), like("e", "u:9", "kitchen-4", age=9000)]
    follows = counted(shop, likes(*first, *then, *again, *later, max_person_day=None)).follows
    fresh = 0.5 ** (4900 / DAY / 7)

    def after(row: int) -> dict[int, float]:
        part = slice(int(follows.indptr[row]), int(follows.indptr[row + 1]))
        return dict(zip(follows.rows[part].tolist(), follows.scores[part].tolist(), strict=True))

    assert after(1) == {2: pytest.approx(10 * fresh / (10 * fresh + 1), rel=1e-3)}
    assert after(2) == after(3) == after(4) == {}


def test_the_session_of_now_leads_to_what_others_read_after_it(shop: Bundle) -> None:
    read = [like(f"{n}-{row}", f"u:{n}", f"garden-{row}", age=300 - row) for n in range(8) for row in (15, 16)]
    crowd = [like(f"c{n}", f"u:c{n}", "kitchen-9") for n in range(9)]
    found = counted(shop, likes(*read, *crowd))
    history = History(np.array([15], np.int32), np.ones(1, np.float32), np.array([NOW - 60]))
    frozen = Query(history, k=3, now=NOW)
    source = live_covisit.build(shop, live_covisit.Config())
    assert not len(source.propose(frozen, 10).rows)
    assert not len(source.propose(replace(frozen, history=EMPTY_HISTORY, live=found), 10).rows)
    proposed = source.propose(replace(frozen, live=found), bundles.N_ITEMS)
    assert proposed.rows[0] == 16, "after 15, though more people like kitchen-9"
    assert proposed.personal is not None
    assert proposed.personal.tolist() == [True] + [False] * (len(proposed.rows) - 1)
    assert proposed.scores.sum() == pytest.approx(1, rel=1e-4)
    assert (np.diff(proposed.scores) <= 0).all()


def test_the_span_ends_with_now_and_begins_after_its_start() -> None:
    found = likes(like("1", "u:anna", "old", age=NOW - TRAINED), like("2", "u:anna", "new", age=0.0))
    assert found["item_id"].to_list() == ["new"]
