"""The questions of the reality check, on the simulated shop: would a worse model do, and is deep learning needed?

Every variant is asked for the same visits through the real API; the expected clicks are the simulator's own
probabilities, so chance in single clicks has no effect. Nothing is reported back: all variants see the same shop.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from benchmarks.simulator.clicks import ClickModel
from benchmarks.simulator.shoppers import Shoppers, Visit
from benchmarks.story import in_process, shop
from benchmarks.story.in_process import Clock
from recsys.datasets.shop_world import log
from recsys.datasets.shop_world.world import world as make_world
from serving.settings import Settings

K = 10
WORSE = (1.0, 0.9, 0.8, 0.7, 0.5, 0.25, 0.0)
Lists = list[list[int]]


async def answers(releases: Path, folder: Path, world_config: Any, visits: int, variants: list[str]) -> dict[str, Any]:
    """variant -> {lists, cpu_seconds_per_1000}, and the visits that were asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    store = f"sqlite:///{folder}/compare.sqlite"
    subprocess.run([sys.executable, "-m", "serving.stores", "migrate", "--url", store], check=True, cwd=shop.TOP)
    world = make_world(world_config, shop.SEED)
    shoppers, clock = Shoppers(world, shop.SEED), Clock(shop.opening(world_config))
    rows = {item_id: row for row, item_id in enumerate(log.items(world, shop.SEED)["item_id"].to_list())}
    asked = list(shoppers.visits(shop.OPENING_DAY, visits))
    found: dict[str, Any] = {}
    settings = Settings(releases=releases, store_url=store, deadline_ms=10_000, store_ms=10_000)
    async with in_process.running(settings, clock) as api:
        for variant in variants:
            lists: Lists = []
            started = time.process_time()
            for visit in asked:
                body = {"user_id": visit.user_id, "k": K, "variant": variant}
                status, answer = await api.ask("POST", "/v1/recommend", body)
                assert status == 200, answer
                lists.append([rows[item["item_id"]] for item in answer["items"]])
            cost = (time.process_time() - started) / len(asked) * 1000
            found[variant] = {"lists": lists, "cpu_seconds_per_1000": round(cost, 2)}
    return {"visits": asked, "variants": found}


def item_knn(releases: Path, world_config: Any, visits: list[Visit], neighbours: int = 50) -> tuple[Lists, float]:
    """The classic without training: cosine between items over their users, summed over the user's history.

    Source: Sarwar, Karypis, Konstan, Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001.
    """
    from recsys.bundle import bundle
    from recsys.bundle.releases import current

    loaded = bundle.load(current(releases))
    n_items, users = len(loaded.catalogue), len(loaded.histories.users)
    pairs = np.array(
        [(user, row) for user in range(users) for row in set(loaded.histories.at(user).rows.tolist())], dtype=np.int64
    )
    matrix = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(users, n_items))
    norms = np.sqrt(np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1))
    similar = (matrix.T @ matrix).toarray() / norms[:, None] / norms[None]
    np.fill_diagonal(similar, 0)
    for row in similar:
        row[np.argsort(-row)[neighbours:]] = 0
    world = make_world(world_config, shop.SEED)
    known = {item_id: row for row, item_id in enumerate(log.items(world, shop.SEED)["item_id"].to_list())}
    outside = [known[loaded.catalogue.ids.external_id(row)] for row in range(n_items)]
    popular = np.argsort(-loaded.catalogue.recent, kind="stable")
    lists: Lists = []
    started = time.process_time()
    for visit in visits:
        history = loaded.histories.of(visit.user_id).rows
        scores = similar[history].sum(axis=0)
        scores[history] = -1
        scores[~loaded.catalogue.available] = -1
        best = [row for row in np.argsort(-scores)[:K].tolist() if scores[row] > 0]
        taken = {*best, *history.tolist()}
        best += [row for row in popular[: K + len(taken)].tolist() if row not in taken][: K - len(best)]
        lists.append([outside[row] for row in best])
    return lists, round((time.process_time() - started) / len(visits) * 1000, 2)


def expected(world_config: Any, visits: list[Visit], lists: Lists, clicks: ClickModel) -> np.ndarray[Any, Any]:
    """(n_visits,) expected clicks."""
    shoppers = Shoppers(make_world(world_config, shop.SEED), shop.SEED, clicks)
    return np.array([sum(shoppers.probabilities(visit, rows)) for visit, rows in zip(visits, lists, strict=True)])


def uplift(values: np.ndarray[Any, Any], base: np.ndarray[Any, Any]) -> dict[str, float]:
    """Relative difference of the means over the same visits, with its 95 % interval (delta method)."""
    ratio = values.mean() / base.mean()
    error = np.std(values - ratio * base) / base.mean() / np.sqrt(len(base))
    return {"uplift": float(ratio - 1), "low": float(ratio - 1 - 1.96 * error), "high": float(ratio - 1 + 1.96 * error)}


def worse(lists: Lists, other: Lists, quality: float, seed: int) -> Lists:
    """A model that is only so good: each place keeps its item with probability `quality`, else holds a random one."""
    chance = np.random.default_rng(seed)
    return [
        [row if chance.random() < quality else spare for row, spare in zip(mine, theirs, strict=True)]
        for mine, theirs in zip(lists, other, strict=True)
    ]


def table(world_config: Any, found: dict[str, Any], knn: tuple[Lists, float], best: str) -> dict[str, Any]:
    """All variants side by side, the best one made worse on purpose, and how much the click model decides."""
    visits, by_variant = found["visits"], found["variants"]
    plain = ClickModel()
    base = expected(world_config, visits, by_variant["random"]["lists"], plain)
    rows = {}
    lists = {name: each["lists"] for name, each in by_variant.items()} | {"item_knn": knn[0]}
    costs = {name: each["cpu_seconds_per_1000"] for name, each in by_variant.items()} | {"item_knn": None}
    for name, mine in lists.items():
        rows[name] = {**uplift(expected(world_config, visits, mine, plain), base), "cpu_seconds_per_1000": costs[name]}
    curve = {
        str(quality): uplift(
            expected(world_config, visits, worse(lists[best], lists["random"], quality, seed=1), plain), base
        )
        for quality in WORSE
    }
    contrast = {}
    for most in (0.06, 0.12, 0.24, 0.48):
        model = ClickModel(most=most)
        anew = expected(world_config, visits, lists["random"], model)
        contrast[f"{most / model.least:g}"] = {
            name: uplift(expected(world_config, visits, lists[name], model), anew)["uplift"]
            for name in ("popular", best)
        }
    return {"variants": rows, "made_worse": {"variant": best, "curve": curve}, "uplift_by_contrast": contrast}


def frame(rows: dict[str, Any]) -> pl.DataFrame:
    """The table of variants, best first."""
    lines = [
        {"variant": name, "CTR over random": f"{row['uplift']:+.1%}", "CPU s / 1,000": row["cpu_seconds_per_1000"]}
        for name, row in sorted(rows.items(), key=lambda pair: -pair[1]["uplift"])
    ]
    return pl.DataFrame(lines)
