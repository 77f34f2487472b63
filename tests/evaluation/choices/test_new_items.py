"""The share of places for new items is what the validation window says: fair to them, at the least cost."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from recsys.contracts import EMPTY_HISTORY, NEW, Candidates, Query, Slot
from recsys.errors import DataError
from recsys.evaluation.choices import gate, learn_new_items, new_items
from recsys.evaluation.choices.new_items import NewItems
from recsys.evaluation.sample import Sample
from recsys.recommend.recommender import Recommender, Slate
from tests.evaluation import world
from tests.evaluation.conftest import N_ITEMS, N_USERS
from tests.support import bundles

K = 10
NEW_ROWS = np.arange(30, N_ITEMS, dtype=np.int32)  # popularity 0


def slates(sample: Sample, own: list[list[int]], new: list[list[int]], fallback: int = 0) -> list[Slate]:
    """Answers that hold the rows of `own`, the last `fallback` of them as a fallback, and could show those of `new`."""
    made = []
    for user, (rows, candidates) in enumerate(zip(own, new, strict=True)):
        slots = tuple(Slot(row, 1.0, "als", fallback=at >= K - fallback) for at, row in enumerate(rows))
        proposals = Candidates(np.array(candidates, dtype=np.int32), np.zeros(len(candidates), dtype=np.float32))
        query = Query(EMPTY_HISTORY, K, 0.0, f"u{user}")
        made.append(Slate(slots, query, {NEW: proposals}, "als", None, None, (), ()))
    return made


def targets_of(sample: Sample, user: int) -> list[int]:
    rows: list[int] = sample.targets.rows[sample.targets.indptr[user] : sample.targets.indptr[user + 1]].tolist()
    return rows


def test_new_items_that_users_want_get_their_share_at_a_gain(sample: Sample) -> None:
    known = [row for row in range(30) if not sample.new[row]]
    own = [known[user % 10 : user % 10 + K] for user in range(N_USERS)]
    wanted = [[row for row in targets_of(sample, user) if sample.new[row]] for user in range(N_USERS)]
    found = learn_new_items._choose(slates(sample, own, wanted), sample, K, 0.01)
    assert found.demand == pytest.approx(np.mean(sample.new[sample.targets.rows]), abs=1e-6)
    assert found.lost < -0.2
    assert found.share > found.demand  # not everybody can be shown one


def test_new_items_that_nobody_wants_get_no_places_and_are_below_the_floor(sample: Sample) -> None:
    """Every place that they take was a hit."""
    hits = [targets_of(sample, user) for user in range(N_USERS)]
    own = [
        ([row for row in range(30) if row not in mine and not sample.new[row]][: K - len(mine)] + mine)[:K]
        for mine in hits
    ]
    useless = [[row for row in NEW_ROWS.tolist() if row not in mine] for mine in hits]
    found = learn_new_items._choose(slates(sample, own, useless), sample, K, 0.01)
    assert not found.fair
    assert found.lost == found.share == 0
    assert "% of the demand, and cost" in str(found)


def test_a_variant_that_hardly_knows_its_users_keeps_half_of_its_places(sample: Sample) -> None:
    own = [[row for row in range(30) if row not in targets_of(sample, user)][:K] for user in range(N_USERS)]
    own[0][0] = targets_of(sample, 0)[0]
    behind = [row for row in range(30) if not sample.new[row]][-7:]  # the more places, the more hits
    wanted = [behind + [row for row in targets_of(sample, user) if sample.new[row]] for user in range(N_USERS)]
    many = dataclasses.replace(sample, popularity=np.where(np.arange(N_ITEMS) < 15, sample.popularity, 0))
    found = learn_new_items._choose(slates(many, own, wanted), many, K, 0.01)
    assert found.demand > 0.3
    assert found.share <= max(found.demand, 0.5)


def test_a_list_is_what_the_main_path_answers(tmp_path: Path) -> None:
    """Over every user and number of places, fallback and all: the same rows as with that share in the variant."""
    made = world.make(tmp_path, 1, lambda n: np.random.default_rng(1).normal(size=(n, 4)).astype(np.float32))
    split, asked = made.split, made.sample
    trying = Recommender(new_items.applied_to(made.bundle, {"als": learn_new_items.HARDLY}), "als")
    shown = 0
    for places in range(4):
        really = Recommender(new_items.applied_to(made.bundle, {"als": places / K}), "als")
        for user in asked.users.tolist():
            query = Query(made.bundle.histories.at(user), K, split.now("test"), split.users["user_id"][user])
            rows = [slot.row for slot in really.recommend(query).slots]
            found = learn_new_items._rows(trying.recommend(query), places, K)
            assert found[found >= 0].tolist() == rows
            shown += int(made.bundle.catalogue.new[rows].sum())
    assert shown


def test_a_floor_where_somebody_above_it_is_nearly_as_good(root: Path) -> None:
    given = bundles.settings()
    data = given.data.model_copy(update={"release_candidates": ["als", "als_recent"]})
    given = given.model_copy(update={"datasets": {given.dataset: data}})
    rng = np.random.default_rng(3)
    values = {"all": {name: rng.normal(mean, 0.1, 200) for name, mean in (("popular", 0.5), ("als", 0.6))}}
    values["all"]["als_recent"] = values["all"]["als"] + 0.005
    unfair, fair = NewItems(0.1, 0.1, 0.1, 0.3, 0.4, fair=False), NewItems(0.1, 0.1, 0.1, 0.0, 0.01)
    assert gate.decide(values, given, {"als": fair, "als_recent": fair}).variant == "als_recent"
    excluded = gate.decide(values, given, {"als": fair, "als_recent": unfair})
    assert excluded.variant == "als"
    assert "new items have 10.0% of the places" in excluded.candidates["als_recent"]
    assert gate.decide(values, given, {"als": unfair, "als_recent": unfair}).variant == "als_recent"
    values["all"]["als_recent"] += 0.1
    assert gate.decide(values, given, {"als": fair, "als_recent": unfair}).variant == "als_recent"


@pytest.mark.parametrize(("protocol", "share"), [("global_time", 0.4), ("per_user_holdout", 0.1)])
def test_a_split_by_user_releases_less_as_fewer_items_are_without_an_event(
    protocol: Literal["global_time", "per_user_holdout"], share: float, tmp_path: Path
) -> None:
    """20 items, of which 2 have no event yet, and 8 none before the window: 6 of these are held out for it, and are
    no arrivals of the release though nobody liked half of them. Those of the test window count for neither."""
    split = world.make(tmp_path, 1, lambda n: np.zeros((n, 4), dtype=np.float32)).split
    events = split.interactions.head(18).with_columns(
        item_row=pl.Series(range(18), dtype=pl.Int32),
        fold=pl.Series([0] * 10 + [1] * 6 + [2] * 2, dtype=pl.UInt8),
        weight=pl.Series([0.0, 1.0] * 9, dtype=pl.Float32),
    )
    facts = split.facts.model_copy(update={"protocol": protocol})
    cut = dataclasses.replace(split, events=events.lazy(), catalogue=split.catalogue.head(20), facts=facts)
    learned = {"als": NewItems(0.4, 0.5, 0.45, 0.0, 0.1), "popular": NewItems(0.0, 0.5, 0.0, 0.0, 0.0)}
    found, why = new_items.for_release(learned, cut)
    assert found == learned | {"als": dataclasses.replace(learned["als"], share=share)}
    assert [line[:72] for line in why] == (
        [] if share == 0.4 else ["slots for new items: als 10.00% for 40.0%; the learned share times 2/8, "]
    )
    nothing_new = dataclasses.replace(cut, events=events.with_columns(fold=pl.lit(0, pl.UInt8)).lazy())
    assert new_items.for_release(learned, nothing_new) == (learned, []), "never more than what was learned"


def test_what_was_learned_is_read_as_it_was_written_and_reaches_the_variants(tmp_path: Path) -> None:
    learned = {"als": NewItems(0.07, 0.1, 0.08, 0.002, 0.01)}
    new_items.save(learned, tmp_path / new_items.FILE)
    assert new_items.load(tmp_path / new_items.FILE) == learned
    given = new_items.applied(bundles.settings(), learned)
    assert given.variants["als"].new_item_share == 0.07
    assert given.variants["newcomers"].new_item_share == 0.3
    with pytest.raises(DataError, match=r"none.json: not readable \(.*\); run `dvc repro evaluate`"):
        new_items.load(tmp_path / "none.json")
