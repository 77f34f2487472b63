"""Whatever a request asks and the business rules say: exactly k items or a shortfall, and nothing forbidden, ever."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.bundle.catalogue import Catalogue
from recsys.business_rules import slate
from recsys.business_rules.filters.masks import Filters
from recsys.business_rules.schema import Rules
from recsys.contracts import PIN, History, Query
from recsys.params import VariantParams
from recsys.recommend.recommender import Recommender, Slate
from tests.support import bundles

NOW = bundles.NOW.timestamp()
LIVE = datetime(2026, 11, 27, 12, tzinfo=UTC)
NAMES = ["art", "bath", "cars", "dogs"]
FILTERS: dict[str, Callable[[dict[str, Any]], bool]] = {
    'category = "art" or category = "bath"': lambda item: bool({"art", "bath"} & set(item["categories"])),
    "price < 5": lambda item: item["price"] is not None and item["price"] < 5,
    'not category = "cars" and not price between 3 and 4': lambda item: (
        "cars" not in item["categories"] and not (item["price"] is not None and 3 <= item["price"] <= 4)
    ),
    "price > 1e9": lambda item: False,
}
ROWS = st.integers(0, bundles.N_ITEMS - 1)
SETS = st.lists(ROWS, max_size=8, unique=True)
WINDOW = st.sampled_from([None, LIVE - timedelta(hours=1), LIVE, LIVE + timedelta(hours=1)])


@dataclass(frozen=True, repr=False)
class Shop:
    bundle: Bundle
    items: list[dict[str, Any]]
    recommenders: dict[str, Recommender]


def stocked(catalogue: Catalogue, seed: int) -> Catalogue:
    """The catalogue with drawn categories (some items have none, some several), prices and stock."""
    random = np.random.default_rng(seed)
    groups = [random.choice(NAMES, random.integers(0, 3), replace=False).tolist() for _ in range(len(catalogue))]
    available = random.random(len(catalogue)) < 0.85
    frame = catalogue.frame.with_columns(
        categories=pl.Series(groups, dtype=pl.List(pl.String)),
        price=pl.Series([None if random.random() < 0.1 else random.random() * 8 for _ in groups]),
        available=pl.Series(available),
    )
    return replace(catalogue, frame=frame, available=available)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> list[Shop]:
    made = []
    for seed in range(3):
        vectors = np.random.default_rng(seed).standard_normal((bundles.N_ITEMS, 3)).astype(np.float32)
        vectors[bundles.NEW] = 0
        opened = bundle.load(bundles.write(tmp_path_factory.mktemp("promises") / "bundle", vectors))
        als = opened.manifest.variants["als"]
        variants = {**opened.manifest.variants, "als_new": als.model_copy(update={"new_item_share": 0.3})}
        assert isinstance(variants["als_new"], VariantParams)
        opened = replace(
            opened,
            catalogue=stocked(opened.catalogue, seed),
            manifest=opened.manifest.model_copy(update={"variants": variants}),
        )
        items = opened.catalogue.frame.to_dicts()
        made.append(Shop(opened, items, {name: Recommender(opened, name) for name in variants}))
    return made


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    ids = SETS.map(lambda rows: [bundles.ITEM_IDS[row] for row in rows])
    written = st.lists(st.sampled_from(sorted(FILTERS)), max_size=1)
    names = st.lists(st.sampled_from(NAMES), max_size=1)
    caps = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, st.integers(1, 4)))
    pins = st.fixed_dictionaries(
        {"item": st.sampled_from(bundles.ITEM_IDS), "position": st.integers(1, 12)},
        optional={"since": WINDOW, "surfaces": st.just(["home"])},
    )
    content = {
        "block": {"items": draw(ids), "categories": draw(names), "filters": draw(written)},
        "cap": {"every_category": draw(st.none() | st.integers(1, 4)), "categories": draw(caps)},
        "boost": [{"filter": text, "factor": 3} for text in draw(written)],
        "bury": [{"filter": text, "factor": 0} for text in draw(written)],
        "pin": draw(st.lists(pins, max_size=4)),
        "diversity": draw(st.sampled_from([0, 0.3, 1])),
    }
    parts = draw(st.sets(st.sampled_from(sorted(content))))
    return Rules.model_validate({name: content[name] for name in parts})


@settings(max_examples=300, deadline=None)
@given(
    place=st.integers(0, 2),
    variant=st.sampled_from([*sorted(bundles.VARIANTS), "als_new"]),
    history=SETS,
    k=st.integers(1, 30),
    exclude=SETS,
    written=st.none() | st.sampled_from(sorted(FILTERS)),
    candidates=st.none() | st.lists(ROWS, max_size=20),
    wishes=rules(),
    surface=st.sampled_from([None, "home"]),
)
def test_exactly_k_items_or_a_shortfall_and_nothing_forbidden(
    shops: list[Shop],
    place: int,
    variant: str,
    history: list[int],
    k: int,
    exclude: list[int],
    written: str | None,
    candidates: list[int] | None,
    wishes: Rules,
    surface: str | None,
) -> None:
    shop = shops[place]
    filters = Filters(shop.bundle.catalogue)
    only = None if candidates is None else filters.candidates(np.array(candidates, dtype=np.int32))
    if written is not None:
        only = filters.mask(written) if only is None else only & filters.mask(written)
    rows = np.array(history, dtype=np.int32)
    known = History(rows, np.ones(len(rows), dtype=np.float32), NOW - np.arange(len(rows), 0, -1.0))
    query = Query(known, k, NOW, "somebody", exclude=np.array(exclude, dtype=np.int32), only=only)
    shape, missing = slate.compiled(wishes, shop.bundle)
    assert not missing

    answer = shop.recommenders[variant].recommend(query, shape.at(LIVE.timestamp(), surface))

    allowed = {
        row
        for row, item in enumerate(shop.items)
        if item["available"]
        and row not in {*history, *exclude}
        and (candidates is None or row in candidates)
        and (written is None or FILTERS[written](item))
        and bundles.ITEM_IDS[row] not in wishes.block.items
        and not set(wishes.block.categories) & set(item["categories"])
        and not any(FILTERS[text](item) for text in wishes.block.filters)
    }
    shown = [slot.row for slot in answer.slots]
    assert not answer.failed
    assert len(shown) == len(set(shown)) <= k
    assert set(shown) <= allowed
    full = capped(shop, wishes, shown)
    if len(shown) < k:  # then nothing else may be shown, or a cap is in the way of everything that may
        left = allowed - set(shown)
        assert all(full & set(shop.items[row]["categories"]) for row in left)
        stated = f"only {len(shown)} of 24 items may be shown here, {k} were asked for"
        assert answer.shortfall == stated + (
            f"; the caps of the business rules leave out {len(left)} more" if left else ""
        )
    else:
        assert answer.shortfall is None
    check_pins(answer, wishes, allowed, surface)


def capped(shop: Shop, wishes: Rules, shown: list[int]) -> set[str]:
    """The categories that can take no more; none has taken too many."""
    counts = Counter(name for row in shown for name in shop.items[row]["categories"])
    most = {name: wishes.cap.categories.get(name, wishes.cap.every_category) for name in NAMES}
    assert all(limit is None or counts[name] <= limit for name, limit in most.items())
    return {name for name, limit in most.items() if limit is not None and counts[name] == limit}


def check_pins(answer: Slate, wishes: Rules, allowed: set[int], surface: str | None) -> None:
    placed = [
        (pin.position, bundles.ITEM_IDS.index(pin.item))
        for pin in sorted(wishes.pin, key=lambda pin: pin.position)
        if (pin.since is None or pin.since <= LIVE) and (not pin.surfaces or surface in pin.surfaces)
    ]
    shown = {slot.row: at for at, slot in enumerate(answer.slots, start=1)}
    pinned = {slot.row for slot in answer.slots if slot.source == PIN}
    assert pinned <= {row for _, row in placed}
    if wishes.cap.every_category is None and not wishes.cap.categories:
        firsts = {row: position for position, row in reversed(placed) if row in allowed}
        within = {row: position for row, position in firsts.items() if position <= len(answer.slots)}
        assert within.keys() <= pinned or len(pinned) == len(answer.slots), "more pins than places"
        for row, position in within.items():
            if list(firsts.values()) == sorted(set(firsts.values())):  # no two of them want the same place
                assert shown[row] == position
