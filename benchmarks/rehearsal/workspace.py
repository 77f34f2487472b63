"""The shop's workspace: a small synthetic shop, the pipeline's settings for it, and the two first bundles."""

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks.story import shop
from recsys.bundle import releases
from recsys.datasets.shop_world import catalogue, log
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.world import World, world

SEED = shop.SEED
OPENING_DAY = shop.OPENING_DAY
LAST_SEASON = 60  # the stale model knows the log up to this day
WORLD = Config(
    events=100_000, users=2_000, items=500, days=OPENING_DAY + shop.DAYS_AFTER,
    new_user_share=0.2, new_item_share=0.2, dirt_share=0.02,
)  # fmt: skip
ARMS = {arm: {"variant": "als", "weight": 0.5} for arm in ("old-page", "new-page")}
FILES = {
    "rules.yaml": {"cap": {"every_category": 8}},
    "experiments.yaml": {"experiments": {"page": {"arms": ARMS, "coverage": 0.6}}},
}


def shop_world() -> World:
    """Return the world of the shop."""
    return world(WORLD, SEED)


def items(shop_of: World) -> pl.DataFrame:
    """Return the published catalogue of the whole world, in the order of the world's items; categories as JSON."""
    names = pl.col("categories").map_elements(lambda each: json.dumps(each.to_list()), return_dtype=pl.String)
    return log.items(shop_of, SEED).with_columns(names)


def interactions(shop_of: World, days: int) -> pl.DataFrame:
    """Return the shop's log of its first days."""
    until = catalogue.start(WORLD) + timedelta(days=days)
    return pl.concat([part.filter(pl.col("timestamp") < until) for part in log.interactions(shop_of, SEED)])


def prepare(folder: Path) -> None:
    """Make the workspace, where `bundle` is the model of the opening day and `stale` that of last season."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", shop.TOP, folder], check=True)
    for name in ("recsys", "serving", "dvc.yaml", "params.yaml"):  # what is not committed yet counts too
        source, target = shop.TOP / name, folder / name
        shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, target)
    shop_of = shop_world()
    (folder / "shop").mkdir()
    opening = catalogue.start(WORLD) + timedelta(days=OPENING_DAY)
    items(shop_of).filter(pl.col("first_seen") < opening).write_csv(folder / "shop/items.csv")
    write_params(folder / "params.yaml")
    (folder / "dvc.lock").unlink(missing_ok=True)
    for fold in ("test", "all"):
        (folder / "rankers" / fold).mkdir(parents=True)
    for days, name in ((LAST_SEASON, "stale"), (OPENING_DAY, "bundle")):
        interactions(shop_of, days).write_csv(folder / "shop/interactions.csv")
        subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=folder, check=True)
        if name == "stale":
            shutil.copytree(folder / "bundle", folder / name)
    for name, content in FILES.items():
        (folder / name).write_text(yaml.safe_dump(content))


def write_params(path: Path) -> None:
    """Choose the shop's files as the data set, and one model and three variants, so that a night's run is short."""
    params: dict[str, Any] = yaml.safe_load(path.read_text())
    tuned = params["datasets"]["synthetic"]
    columns = {
        "interactions": ["user_id", "item_id", "timestamp", "event", "value"],
        "items": ["item_id", "title", "text", "categories", "price", "available", "first_seen"],
    }
    adapter = {
        name: {"path": f"shop/{name}.csv", "columns": {each: each for each in there}} for name, there in columns.items()
    }
    files = {**tuned, "adapter": adapter, "models": {"als": tuned["models"]["als"]}}
    params |= {
        "dataset": "files", "datasets": {"files": files}, "threads": 1, "rankers": {},
        "models": {"als": {"iterations": 5}},
        "variants": {name: params["variants"][name] for name in ("random", "popular", "als")},
    }  # fmt: skip
    params["evaluate"] |= {"max_users": 1000, "bootstrap": 200, "baselines": ["popular", "random", "als"]}
    params["gate"] |= {"baseline": "random", "floors": []}
    path.write_text(yaml.safe_dump(json.loads(json.dumps(params)), sort_keys=False))


def copy(prepared: Path, folder: Path, store: str) -> None:
    """Copy the workspace for one month, with an empty store."""
    shutil.copytree(prepared, folder, symlinks=True)
    subprocess.run([sys.executable, "-m", "serving.stores", "migrate", "--url", store], check=True)


def policies(folder: Path, store: str) -> None:
    """Write the policies of `recsys watch`: those by default, but windows of eight hours, because the shop is small,
    and no retraining by day, because each night has one.
    """
    retrain = [sys.executable, "-m", "recsys.cli", *RETRAIN, "--store", store]
    events = {"action": "tell", "moved": 0.1}
    canary = {"least": 100, "hours": 1, "alpha": 0.05}
    content = {"hours": 8, "canary": canary, "retrain": retrain, "policies": {"events": events}}
    (folder / "watch.yaml").write_text(yaml.safe_dump(content))


RETRAIN = ("retrain", "--releases", "releases", "--canary", "15%")


def begin(folder: Path) -> None:
    """Release the model of the opening day."""
    releases.promote(folder / "bundle", folder / "releases")
