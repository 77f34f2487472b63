"""What is due again, checked by hand."""

from datetime import timedelta

import numpy as np
import pytest

from recsys.bundle import bundle, catalogue
from recsys.contracts import REPEAT, SECONDS_PER_DAY, History
from recsys.encoders import repeats
from recsys.recommend import explanations
from recsys.recommend.recommender import Recommender
from tests.support import bundles
from tests.support.queries import query

NOW = 100 * SECONDS_PER_DAY
UNKNOWN = np.full(10, np.nan, dtype=np.float32)


def history(*events: tuple[int, float]) -> History:
    """events: (row, age in days), oldest first."""
    rows, ages = zip(*events, strict=True)
    times = NOW - np.array(ages) * SECONDS_PER_DAY
    return History(np.array(rows, dtype=np.int32), np.ones(len(rows), dtype=np.float32), times)


def test_frequency_gap_and_what_is_due() -> None:
    found = repeats.liked(history((1, 30), (2, 25), (1, 20), (1, 10), (1, 10)), NOW, UNKNOWN, 10)
    assert found.rows.tolist() == [1, 2]
    assert found.visits.tolist() == [3, 1]  # two likes at the same moment are one visit
    assert found.days_since.tolist() == [10, 25]
    assert found.usual_days[0] == 10
    assert np.isnan(found.usual_days[1])
    assert found.frequency.tolist() == pytest.approx([2 * 0.5 + 0.25 + 0.125, 0.5**2.5])
    assert found.due.tolist() == [0.5, 1.0]


def test_the_item_s_usual_gap_stands_in_for_one_visit() -> None:
    gaps = UNKNOWN.copy()
    gaps[2] = 5
    found = repeats.liked(history((2, 15)), NOW, gaps, 10)
    assert found.due.tolist() == [0.75]  # three gaps


def test_the_catalogue_knows_the_usual_gap_of_an_item() -> None:
    events = bundles.interactions()
    assert np.isnan(catalogue.gap_days(events, bundles.N_ITEMS)).all()
    again = events.vstack(events.with_columns(timestamp=events["timestamp"] + timedelta(days=4)))
    found = catalogue.gap_days(again.sort("user_row", "timestamp"), bundles.N_ITEMS)
    assert found[0] == 4
    assert np.isnan(found[bundles.NEW[1]]) == (bundles.NEW[1] not in again["item_row"])


def test_repeats_are_proposed_only_where_they_are_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("repeat")
    for allowed in (False, True):
        shop = bundle.load(bundles.write(folder / str(allowed), allow_repeat=allowed))
        recommender = Recommender(shop, "repeat")
        slate = recommender.recommend(query(shop, "anna", 5))
        own = [slot.row for slot in slate.slots if slot.source == REPEAT]
        assert sorted(own) == ([0, 1, 2, 3] if allowed else [])
        assert slate.fallback_reason == ("too_few_candidates" if allowed else "history_unknown_to_models")
        for slot, why in zip(slate.slots, explanations.explain({"repeat": recommender}, slate), strict=True):
            if slot.source == REPEAT:
                assert [(reason.row, reason.contribution) for reason in why.reasons] == [(slot.row, slot.score)]
