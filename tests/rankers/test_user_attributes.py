"""A shop whose tastes go by an attribute of the users: new users gain by it; where they do not, it is dropped."""

import copy
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import yaml

from recsys import params
from recsys.bundle import bundle
from recsys.contracts import EMPTY_HISTORY, Query
from recsys.data import split as splits
from recsys.drift import canary, reference
from recsys.evaluation import answers, fold_bundle
from recsys.rankers._learned import artifact
from recsys.rankers._learned.features import attributes
from recsys.ranking import ndcg
from recsys.recommend.recommender import Recommender, Slate
from recsys.stages import candidates, rank
from tests.data.made_split import make
from tests.support import small_shop, tiny_shops

TEAMS, N_USERS, N_ITEMS, LIKES = ["red", "green", "blue"], 600, 90, 10
START = datetime(2024, 1, 1, tzinfo=UTC)
CHANGES = {
    "datasets.files": {"recent_half_life_days": 30, "smoothing": 20, "models": {}},
    "rankers.learned": {"known_items": [1, 3], "rounds": 5},
}


def made(depends: bool) -> splits.Split:
    """Every user has a team and a noise; of four likes three are of the team's items, or of those of a random team."""
    random = np.random.default_rng(1)
    team = random.integers(len(TEAMS), size=N_USERS)
    taste = team if depends else random.permutation(team)
    each = np.repeat(np.arange(N_USERS), LIKES)
    common = np.minimum(random.geometric(0.08, len(each)) - 1, N_ITEMS // 3 - 1) * 3  # some items are liked more
    own = random.random(len(each)) < 0.75
    item = common + np.where(own, taste[each], random.integers(3, size=len(each)))
    events = pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in each],
            "item_id": [f"i{one}" for one in item],
            "timestamp": [START + timedelta(days=float(day)) for day in random.random(len(each)) * 60],
            "event": "purchase",
            "value": None,
            "weight": 1.0,
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC"), "value": pl.Float32},
    )
    items = pl.DataFrame(
        {"item_id": [f"i{one}" for one in range(N_ITEMS)], "title": "x", "text": "", "categories": [[]] * N_ITEMS,
         "price": None, "available": True, "first_seen": None, "attributes": None},
        schema_overrides={"categories": pl.List(pl.String), "price": pl.Float64, "attributes": pl.String,
                          "first_seen": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    lucky = random.integers(5, size=N_USERS)
    told = [f'{{"lucky":"{lucky[at]}","name":"n{at}","team":"{TEAMS[team[at]]}"}}' for at in range(N_USERS)]
    users = pl.DataFrame({"user_id": [f"u{user}" for user in range(N_USERS)], "attributes": told})
    protocol = params.SplitParams.model_validate(tiny_shops.SETTINGS["datasets.files"]["split"])
    return make(events.unique(maintain_order=True).lazy(), items, protocol, 1, users)


def learned(folder: Path, root: Path, data: splits.Split) -> tuple[artifact.Description, bundle.Bundle]:
    """What the stages learn from the validation window for the only source `popular`, and a bundle of the test fold."""
    (folder / "split").mkdir(parents=True)
    splits.save(data, folder / "split")
    settings = yaml.safe_load((root / "params.yaml").read_text())
    settings |= {"models": {}, "datasets": {"files": settings["datasets"]["files"]}}
    variants = settings["variants"]
    variants["learned"]["sources"] = [{"source": "popular"}]
    settings["variants"] = {name: variants[name] | {"new_item_share": 0} for name in ("popular", "learned")}
    settings["evaluate"]["baselines"] = ["popular"]
    file, log, out = folder / "params.yaml", folder / "log.parquet", folder / "rankers" / "learned"
    file.write_text(yaml.safe_dump(settings))
    for changes in (tiny_shops.SETTINGS, CHANGES):
        small_shop.change(file, "files", changes, threads=1)
    candidates.main("learned", ["valid"], folder / "split", [folder], [folder], [log], file)
    rank.main("learned", [log], [out], file)
    parts = fold_bundle.parts(data, "test", folder, folder, params.load(file), rankers=folder / "rankers")
    bundle.write(parts, params.load(file), {}, folder / "bundle")
    return artifact.read(out), bundle.load(folder / "bundle")


def quality(recommender: Recommender, data: splits.Split, known_items: int) -> npt.NDArray[np.float64]:
    """NDCG@10 of each user of the test window, of whom only so many likes are told."""
    wanted = dict(data.targets("test").group_by("user_row").agg("item_row").sort("user_row").iter_rows())
    values = []
    for user, items in wanted.items():
        slots = answers.recommend_offline(recommender, data, "test", user, 10, 1, known_items).slots
        found = np.isin([slot.row for slot in slots], items)
        values.append(ndcg(found[None], np.array([len(items)]))[0])
    return np.array(values)


Made = tuple[splits.Split, artifact.Description, bundle.Bundle]


@pytest.fixture(scope="module")
def by_team(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Made:
    """The shop whose tastes go by team: its data, what was learned, and its bundle, which serves `learned`."""
    data = made(depends=True)
    about, shop = learned(tmp_path_factory.mktemp("by_team") / "shop", root, data)
    manifest = shop.manifest.model_copy(update={"default_variant": "learned"})
    return data, about, replace(shop, manifest=manifest)


def test_new_users_gain_where_tastes_go_by_an_attribute(by_team: Made) -> None:
    data, about, shop = by_team
    assert attributes((*about.few, *about.more, *about.strangers, *about.features)) == ["team"]
    for known_items in (0, 1):
        ranked, popular = (quality(Recommender(shop, name), data, known_items) for name in ("learned", "popular"))
        gain = ranked - popular
        assert gain.mean() > max(0.2 * popular.mean(), 3 * gain.std() / np.sqrt(len(gain)))
    red, nobody = (learned_list(shop, {"team": team}) for team in ("red", "unheard of"))
    assert [int(item[1:]) % 3 for item in red].count(0) >= 8
    assert nobody == learned_list(shop, {}) != red


def test_a_place_that_an_attribute_raised_is_the_user_s_own(by_team: Made) -> None:
    _, _, shop = by_team
    for told, share in (({"team": "red"}, 1.0), ({"team": "unheard of"}, 0.0), ({"lucky": "1"}, 0.0), ({}, 0.0)):
        assert slate(shop, told).personalised_share == share
    asked, known = replace(query(shop, {"team": "red"}), k=N_ITEMS), shop.histories
    every = Recommender(shop).recommend(asked)
    likes = {True: np.zeros(len(shop.catalogue)), False: np.zeros(len(shop.catalogue))}
    for at in range(len(known.users)):
        red = known.attributes(known.users.external_id(at))["team"] == "red"
        likes[red][np.unique(known.at(at).rows)] += 1
    more = np.flatnonzero(likes[True] * likes[False].sum() > likes[False] * likes[True].sum())
    assert every.personalised == set(more.tolist())
    assert 0 < len(more) < len(every.slots)
    late = Recommender(shop).recommend(replace(asked, k=10, deadline=0.0))
    assert late.personalised_share == 0.0
    assert "ranker" in late.failed


def test_a_canary_and_the_reference_ask_with_the_attributes_of_each_user(by_team: Made) -> None:
    _, _, shop = by_team
    histories = shop.histories
    for answer in reference.answers(shop)[:20]:
        at = int(answer.person)
        told = histories.attributes(histories.users.external_id(at))
        asked = Query(histories.at(at), 10, shop.manifest.trained_until.timestamp(), attributes=told)
        assert answer.rows.tolist() == [slot.row for slot in Recommender(shop).recommend(asked).slots]
        assert told["team"]
    other = copy.copy(histories)  # a release of another model of teams: red and green have changed places
    names = {"red": "green", "green": "red", "blue": "blue"}
    changed = shop.histories._attributes
    assert changed is not None
    other._attributes = pl.Series([re.sub("red|green", lambda found: names[found[0]], text) for text in changed])
    other.groups = lru_cache(None)(other._groups)
    swapped = replace(shop, histories=other)
    assert canary.replay(swapped, shop, {"u:nobody": {}}, []).overlap == 1
    assert canary.replay(swapped, shop, {"u:nobody": {"team": "red"}}, []).overlap < 0.5
    said = canary.replay(shop, replace(shop, histories=other), {"u:nobody": {"team": "blue"}}, [])
    assert said.overlap == 1


def test_an_attribute_that_says_nothing_is_dropped(tmp_path: Path, root: Path) -> None:
    about, _ = learned(tmp_path / "b", root, made(depends=False))
    assert attributes((*about.few, *about.more, *about.strangers, *about.features)) == []
    assert "strangers" not in (tmp_path / "b" / "rankers" / "learned" / "ranker.json").read_text()


def query(shop: bundle.Bundle, told: dict[str, str]) -> Query:
    """The query of somebody without a history who says this of themselves."""
    return Query(EMPTY_HISTORY, 10, shop.manifest.trained_until.timestamp(), attributes=told)


def slate(shop: bundle.Bundle, told: dict[str, str]) -> Slate:
    return Recommender(shop, "learned").recommend(query(shop, told))


def learned_list(shop: bundle.Bundle, told: dict[str, str]) -> list[str]:
    return [shop.catalogue.ids.external_id(slot.row) for slot in slate(shop, told).slots]
