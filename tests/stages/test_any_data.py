"""Every valid data set ends in a bundle with its reason, however small or odd: through the real stages."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.contracts import EMPTY_HISTORY, Query
from recsys.rankers._learned import artifact
from recsys.recommend.recommender import Recommender
from tests.support import small_shop, stages, tiny_shops

ALS = {"factors": 8, "alpha": 1.0, "regularization": 10, "half_life_days": 60}
SHOPS = [*tiny_shops.SHOPS, "rated_low"]
CHEAP: dict[str, dict[str, Any]] = {  # nothing is searched for: that is tested elsewhere
    "datasets.files": {
        "recent_half_life_days": 30,
        "models": {
            "als": ALS,
            "als_long": dict(ALS),
            "content": {"factors": 8, "half_life_days": 60, "epochs": 0},
            "ease": {},
            "covisit": {},
        },
    },
    "evaluate": {"bootstrap": 100},
}


def describe(folder: Path) -> None:
    """Add a table of users to a shop, of which nine of ten have a country, and one of vectors of the two tastes."""
    vectors = [f"i{item},{item % 2} {1 - item % 2} 0.5" for item in range(tiny_shops.ITEMS)]
    (folder / "vectors.csv").write_text("\n".join(["item_id,vector", *vectors]) + "\n")
    rows = [f"u{user},{('DE', 'FR')[user % 2] if user % 10 else ''}" for user in range(tiny_shops.USERS)]
    (folder / "users.csv").write_text("\n".join(["user_id,country", *rows]) + "\n")
    users = {"path": "users.csv", "attributes": ["country"]}
    changes: dict[str, dict[str, Any]] = {
        "datasets.files.adapter": {"users": users, "vectors": {"path": "vectors.csv"}},
        "datasets.files": {"segment_users_by": "country"},
    }
    small_shop.change(folder / "params.yaml", "files", changes, threads=1)


def rate(folder: Path) -> None:
    """Make a shop of users who come once and rate; vectors say of an item its taste, not whether it is good."""
    (folder / "tiny.csv").write_text(tiny_shops.rated_low())
    vectors = [f"i{item},{item % 2} {1 - item % 2} 0.5" for item in range(80)]
    (folder / "vectors.csv").write_text("\n".join(["item_id,vector", *vectors]) + "\n")
    changes: dict[str, dict[str, Any]] = {
        "datasets.files.adapter": {
            "interactions": {"path": "tiny.csv", "event": "rating"},
            "vectors": {"path": "vectors.csv"},
        },
        "datasets.files": {"event_weights": {"rating": 1.0}},
        "datasets.files.thresholds": {"like_from": 4},
        "datasets.files.split": {"protocol": "per_user_holdout", "cold_item_share": 0.2, "target_events": ["rating"]},
    }
    small_shop.change(folder / "params.yaml", "files", changes, threads=1)


@pytest.fixture(scope="module")
def errors(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Shop -> its folder and the error that ended its run, "" for none."""
    top = tmp_path_factory.mktemp("tiny")
    for name in SHOPS:
        (top / name).mkdir()
        if name in tiny_shops.SHOPS:
            (top / name / "tiny.csv").write_text(tiny_shops.csv(tiny_shops.SHOPS[name]()))
        shutil.copy(root / "params.yaml", top / name)
        for changes in (tiny_shops.SETTINGS, CHEAP):
            small_shop.change(top / name / "params.yaml", "files", changes, threads=1)
    describe(top / "fifty_users")
    rate(top / "rated_low")
    found = stages.run([top / name for name in SHOPS])
    return {folder.name: (folder, error) for folder, error in found.items()}


@pytest.mark.parametrize("shop", SHOPS)
def test_a_bundle_and_its_reason(errors: dict[str, tuple[Path, str]], shop: str) -> None:
    folder, error = errors[shop]
    assert not error
    manifest = json.loads((folder / "bundle" / "manifest.json").read_text())
    assert manifest["metrics"]["gate"].startswith(f"{manifest['default_variant']!r} is released: ")
    recommender = Recommender(bundle.load(folder / "bundle"))
    assert recommender.bundle.manifest.counts["users"] >= tiny_shops.USERS
    slate = recommender.recommend(Query(EMPTY_HISTORY, 5, manifest_time(manifest)))
    assert len(slate.slots) == min(5, len(recommender.bundle.catalogue))
    assert not slate.degraded


def test_users_have_metrics_by_an_attribute(errors: dict[str, tuple[Path, str]]) -> None:
    folder, _ = errors["fifty_users"]
    figures = pl.read_csv(folder / "metrics" / "intervals.csv").filter(variant="popular", metric="ndcg@10")
    users = dict(figures.select("segment", "users").unique().iter_rows())
    mine = {name: count for name, count in users.items() if name.startswith("country")}
    assert mine.keys() == {"country=DE", "country=FR", "country: unknown"}
    assert sum(mine.values()) == users["all"]
    flat = json.loads((folder / "metrics" / "offline" / "popular.json").read_text())
    assert "country=DE.ndcg@10" in flat
    assert "country=FR" in (folder / "reports" / "offline.html").read_text()
    served = bundle.load(folder / "bundle").histories
    assert [served.attributes(user) for user in ("u1", "u2", "u10")] == [{"country": "FR"}, {"country": "DE"}, {}]


def test_vectors_that_items_bring_end_in_the_bundle(errors: dict[str, tuple[Path, str]]) -> None:
    folder, _ = errors["fifty_users"]
    served = bundle.load(folder / "bundle")
    brought = served.models["content"].embeddings.arrays["brought"]
    assert (
        brought[:, :2].argmax(axis=1) == [1 - int(served.catalogue.ids.external_id(row)[1:]) % 2 for row in range(20)]
    ).all()
    assert len(served.models["content"].embeddings.rows) == tiny_shops.ITEMS
    other, _ = errors["no_times"]
    assert "brought" not in bundle.load(other / "bundle").models["content"].embeddings.arrays


def test_films_that_all_rated_low_are_no_news(errors: dict[str, tuple[Path, str]]) -> None:
    """Items are held out of the windows, so that shares of slots for new items are learned; nothing is new any more."""
    folder, _ = errors["rated_low"]
    learned = json.loads((folder / "metrics" / "new_items.json").read_text())
    assert learned["als"]["share"] > 0.1
    served = bundle.load(folder / "bundle")
    catalogue = served.catalogue
    low = [int(catalogue.ids.external_id(row)[1:]) >= 60 for row in range(len(catalogue))]
    assert (catalogue.liked_share == 0).tolist() == low
    offered = {
        shop: "liked_share" in artifact.read(errors[shop][0] / "rankers" / "all" / "learned").features
        for shop in ("rated_low", "fifty_users")
    }
    assert offered == {"rated_low": True, "fifty_users": False}
    for variant in ("als", "ease", "learned"):
        recommender = Recommender(served, variant)
        for user in range(tiny_shops.USERS):
            query = Query(served.histories.of(f"u{user}"), 10, manifest_time(served.manifest.model_dump()), f"u{user}")
            slots = recommender.recommend(query).slots
            assert not [slot for slot in slots if low[slot.row]], variant


def manifest_time(manifest: dict[str, Any]) -> float:
    """When the training ended, in UTC seconds."""
    return bundle.Manifest.model_validate(manifest).trained_until.timestamp()
