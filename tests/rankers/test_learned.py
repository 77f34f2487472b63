"""The learned ranker orders by trees those it knows little of; a bundle whose ranker is not as written is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, History, Query
from recsys.errors import BundleError
from recsys.rankers import learned
from recsys.rankers._learned import artifact, training
from recsys.rankers._learned.artifact import Description
from recsys.rankers._learned.features import RankingFeatures, by_formula, names
from recsys.recommend.recommender import Recommender
from tests.support import bundles
from tests.support.ranker_logs import CONFIG, VARIANT, planted

NOW = bundles.NOW.timestamp()
ROWS = np.arange(bundles.N_ITEMS, dtype=np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trees, about = training.fit(planted(), VARIANT, CONFIG, seed=1)
    out = tmp_path_factory.mktemp("trained") / "learned"
    artifact.write(trees, about.model_copy(update={"trees_up_to": 3, "few_up_to": 3}), out)
    return out


@pytest.fixture(scope="module")
def shop(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("shop") / "bundle", rankers={"learned": folder}))


def fan(n: int) -> History:
    """Somebody who liked the first n kitchen items."""
    return History(np.arange(n, dtype=np.int32), np.ones(n, dtype=np.float32), NOW - np.arange(n, 0, -1.0))


def ask(shop: Bundle, history: History) -> Query:
    return Query(history, 5, NOW, vectors={"als": shop.models["als"].encoder.encode(history, NOW)})


@pytest.mark.parametrize(("n", "trees"), [(0, False), (1, True), (3, True), (4, False)])
def test_trees_up_to_a_number_of_likes_else_a_blend(shop: Bundle, folder: Path, n: int, trees: bool) -> None:
    import lightgbm

    query, ranker = ask(shop, fan(n)), learned.build(shop, learned.Config())
    found = ranker.rank(query, ROWS, np.empty((1, len(ROWS)), dtype=np.float32))
    table = RankingFeatures(shop, list(names(["als"]))).of(query, ROWS)
    by_trees = lightgbm.Booster(model_file=folder / "model.txt").predict(table)
    assert np.allclose(found, by_trees, atol=1e-6) == trees
    assert np.isfinite(found).all()


def test_who_told_nothing_gets_what_is_popular(shop: Bundle) -> None:
    ranker = learned.build(shop, learned.Config())
    answer = Recommender(shop, "popular", ranker=ranker).recommend(Query(EMPTY_HISTORY, 10, NOW))
    plain = Recommender(shop, "popular").recommend(Query(EMPTY_HISTORY, 10, NOW))
    assert [slot.row for slot in answer.slots] == [slot.row for slot in plain.slots]


def test_demand_at_another_half_life_is_for_those_with_a_history(folder: Path, tmp_path: Path) -> None:
    """A blend for users of few likes may ask for the demand of one hour; who has no history gets what is popular."""
    about = artifact.read(folder).model_copy(update={"few": {"demand_1h": 1.0}, "trees_up_to": -1})
    artifact.write((folder / "model.txt").read_text(), about, tmp_path / "hourly")
    shop = bundle.load(bundles.write(tmp_path / "bundle", rankers={"learned": tmp_path / "hourly"}))
    test_who_told_nothing_gets_what_is_popular(shop)


def test_the_formula_agrees_with_the_model_for_those_known_well(shop: Bundle) -> None:
    ranker = learned.build(shop, learned.Config())
    query = Query(fan(5), 8, NOW)
    plain = Recommender(shop, "als").recommend(query)
    answer = Recommender(shop, "als", ranker=ranker).recommend(query)
    assert [slot.row for slot in answer.slots] == [slot.row for slot in plain.slots]


def test_a_bundle_without_the_ranker_is_refused(tmp_path: Path) -> None:
    empty = bundle.load(bundles.write(tmp_path / "bundle"))
    with pytest.raises(
        BundleError, match=r"^ranker 'learned': the bundle has no folder rankers/learned; run `dvc repro`$"
    ):
        learned.build(empty, learned.Config())


@pytest.mark.parametrize("name", ["model.txt", "ranker.json"])
@pytest.mark.parametrize("harm", ["alter", "remove"])
def test_a_bundle_whose_ranker_was_changed_is_refused(folder: Path, tmp_path: Path, name: str, harm: str) -> None:
    written = bundles.write(tmp_path / "bundle", rankers={"learned": folder})
    path = written / "rankers" / "learned" / name
    if harm == "alter":
        path.write_text(path.read_text().replace("1", "2", 1))
    else:
        path.unlink()
    with pytest.raises(BundleError, match=rf"rankers/learned/{name}: (sha256 is|named in the manifest but missing)"):
        bundle.load(written)


def test_a_missing_folder_is_refused_when_the_bundle_is_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere: no such folder, a bundle needs it"):
        bundles.write(tmp_path / "bundle", rankers={"learned": tmp_path / "nowhere"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": ["als", "gone"]}, "model 'gone' is not in the bundle"),
        ({"features": ["als_score"]}, "trained on other features than ranker.json names"),
        ({"more": {"als_magic": 1.0}}, "unknown feature 'als_magic'"),
        ({"more": {}}, "has neither blends nor a formula"),
    ],
)
def test_a_ranker_of_another_bundle_or_code_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    about = artifact.read(folder).model_dump() | change
    trees = (folder / "model.txt").read_text()
    artifact.write(trees, Description.model_validate(about), tmp_path / "other")
    loaded = bundle.load(bundles.write(tmp_path / "bundle", rankers={"learned": tmp_path / "other"}))
    with pytest.raises(BundleError, match=message):
        learned.build(loaded, learned.Config())


def test_a_ranker_from_before_there_were_blends_still_orders(folder: Path, tmp_path: Path) -> None:
    """Its features are fewer, and its formula is a blend of one."""
    old = ["als_score", "als_rank", "als_times_recent", "als_nearest", "als_likeness"]
    old += ["recent_share", "recent_demand", "liked", "idle_days"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "model.txt").write_text((folder / "model.txt").read_text())
    about = {"models": ["als"], "features": old, "formula": "als_times_recent", "trees_up_to": -1, "figures": {}}
    (tmp_path / "old" / "ranker.json").write_text(json.dumps(about))
    shop = bundle.load(bundles.write(tmp_path / "bundle", rankers={"learned": tmp_path / "old"}))
    query = ask(shop, fan(3))
    found = learned.build(shop, learned.Config()).rank(query, ROWS, np.empty((1, len(ROWS)), dtype=np.float32))
    table = RankingFeatures(shop, ["als_times_recent", "recent_demand"]).of(query, ROWS)
    assert found.tolist() == by_formula(table[:, 0], table[:, 1]).tolist()


def test_a_blend_adds_up_and_says_of_what(shop: Bundle, folder: Path, tmp_path: Path) -> None:
    about = artifact.read(folder).model_copy(update={"more": {"als_score": 0.6, "demand_168h": 0.4}, "trees_up_to": -1})
    artifact.write((folder / "model.txt").read_text(), about, tmp_path / "blend")
    blended = bundle.load(bundles.write(tmp_path / "bundle", rankers={"learned": tmp_path / "blend"}))
    ranker, query = learned.build(blended, learned.Config()), ask(blended, fan(20))
    nothing = np.empty((1, len(ROWS)), dtype=np.float32)
    found = ranker.rank(query, ROWS, nothing)
    table = RankingFeatures(blended, ["als_score", "demand_168h"]).of(query, ROWS)
    parts = np.nan_to_num(table.clip(0)) / np.nan_to_num(table.clip(0)).max(axis=0) * [0.6, 0.4]
    assert found.tolist() == pytest.approx(parts.sum(axis=1).tolist(), abs=1e-6)
    for at, why in enumerate(ranker.explain(query, ROWS, nothing, ["als"], ROWS)):
        assert sum(term.amount for term in why.terms) == pytest.approx(float(found[at]), abs=1e-6)
        assert {term.feature for term in why.terms} <= {"als_score", "demand_168h", "recent_demand"}
