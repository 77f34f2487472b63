"""Live counts serve where the next event of the validation window says so, and nowhere else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.contracts import SECONDS_PER_DAY, Candidates, ItemItem, LiveCounts, Query
from recsys.evaluation.choices import gate, live_choice
from recsys.evaluation.choices.gate import Decision
from recsys.params import Params, VariantParams
from recsys.recommend.recommender import Recommender
from tests.data import made_split, test_split_protocols
from tests.support import bundles

N_ITEMS, MINUTES = 40, 10_000
SOURCES = [{"source": "live_covisit", "share": 0.95}, {"source": "popular", "share": 0.05}]
LIVE = VariantParams.model_validate({"sources": SOURCES, "rules": bundles.RULES})
GATED = {name: Decision(name, f"{name!r} is released: it is the best", {}) for name in ("als", "popular")}


def settings() -> Params:
    base = bundles.settings().with_data(typed_half_life_days=0.1)
    return base.model_copy(update={"variants": {**base.variants, "live": LIVE}})


def chosen(folder: Path, ageing: bool, gated: Decision) -> Decision:
    """1,500 purchases of 80 users; with `ageing` most are of the two items of the hour, else of the same few items."""
    rng = np.random.default_rng(5)
    minutes = np.sort(rng.integers(0, MINUTES, 1500))
    lasting = np.minimum(rng.geometric(0.12, 1500) - 1, N_ITEMS - 1)
    rows = np.where(rng.random(1500) < 0.8, minutes * N_ITEMS // MINUTES, lasting) if ageing else lasting
    events = list(zip(rng.integers(0, 80, 1500).tolist(), rows.tolist(), minutes.tolist(), strict=True))
    items, params = test_split_protocols.items(N_ITEMS), settings()
    split = made_split.make(test_split_protocols.table(events), items, test_split_protocols.params(), 1)
    bundles.model(np.eye(N_ITEMS, 8, dtype=np.float32) + np.float32(0.1), folder / "model")
    models = {"als": (folder / "model", folder / "model")}
    parts = bundle.Parts(split.fit_rows("valid"), split.catalogue, split.users, split.now("valid"), models)
    bundle.write(parts, params, {}, folder / "bundle")
    return live_choice.choose(bundle.load(folder / "bundle"), split, params, gated)


def test_live_counts_are_released_where_items_age(tmp_path: Path) -> None:
    found = chosen(tmp_path, True, GATED["als"])
    assert (found.variant, found.without_live) == ("live", "als")
    assert found.reason.startswith("'live' is released: ")
    assert found.reason.endswith(f". Without live counts {GATED['als'].reason}")


def test_live_counts_are_left_out_where_they_add_nothing(tmp_path: Path) -> None:
    found = chosen(tmp_path, False, gated := GATED["popular"])
    assert (found.variant, found.reason, found.without_live) == (gated.variant, gated.reason, None)
    assert "is not significantly better than 'popular'" in found.candidates["live"]


@pytest.mark.parametrize(("pairs", "age_days"), [(None, 0), (0, 0), (1, 8), (1, 6)])
def test_without_live_counts_the_trained_variant_answers(tmp_path: Path, pairs: int | None, age_days: int) -> None:
    """Nothing was counted, nobody liked anything, or the counts are older than the half-life of a week."""
    params = gate.applied(settings(), Decision("live", "", {}, "als"))
    loaded = bundle.load(bundles.write(tmp_path / "bundle"))
    loaded = replace(loaded, manifest=loaded.manifest.model_copy(update={"variants": params.variants}))
    live, now = None, bundles.NOW.timestamp() + 86_400
    if pairs is not None:
        demand = np.arange(1, bundles.N_ITEMS + 1, dtype=np.float32)
        popular = Candidates(np.argsort(-demand).astype(np.int32), np.sort(demand)[::-1].copy())
        indptr = np.append(0, np.full(bundles.N_ITEMS, pairs))
        follows = ItemItem(
            indptr,
            np.full(pairs, 3, dtype=np.int32),
            np.full(pairs, 0.5, dtype=np.float32),
            {"half_life_days": 1.0, "last": 5, "place_decay": 0.5},
        )
        read_at = now - age_days * SECONDS_PER_DAY
        live = LiveCounts(read_at, demand, float(demand.sum()), popular, follows, "", bytes)
    query = Query(loaded.histories.at(0), 5, bundles.NOW.timestamp(), live=live, shown_at=now)
    slate = Recommender(loaded, "live").recommend(query)
    trained = Recommender(loaded, "als").recommend(query)
    lives = bool(pairs) and age_days < 7
    assert (slate.variant == "live") == lives
    assert ([slot.row for slot in slate.slots] == [slot.row for slot in trained.slots]) != lives
