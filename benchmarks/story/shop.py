"""The simulated shop: its log up to the day the API opens becomes a bundle by the pipeline of this repository."""

import copy
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recsys.datasets.shop_world import catalogue, log
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.world import World, world

MEASURES = ("recsys/stages", "dvc.yaml", "params.yaml")
TOP = Path(__file__).parents[2]
SEED = 11
OPENING_DAY = 120  # the shop has a log of so many days; the simulation goes on from there
DAYS_AFTER = 30  # items and users that arrive in them are drawn with the rest of the world
FULL = Config(
    events=250_000,
    users=8_000,
    items=2_000,
    days=OPENING_DAY + DAYS_AFTER,
    new_user_share=0.3,
    new_item_share=0.3,
    dirt_share=0.02,
)
SMALL = Config(
    events=25_000,
    users=800,
    items=300,
    days=OPENING_DAY + DAYS_AFTER,
    new_user_share=0.3,
    new_item_share=0.3,
    dirt_share=0.02,
)


def opening(config: Config) -> float:
    """The moment the API opens, UTC seconds."""
    return (catalogue.start(config) + timedelta(days=OPENING_DAY)).timestamp()


def build(config: Config, folder: Path, changes: dict[str, Any]) -> tuple[World, Path]:
    """The world, and a workspace in `folder` where `dvc repro` has made a bundle of its log up to the opening.

    changes: sections of params.yaml by dotted key, merged into what is there.
    """
    shop = world(config, SEED)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", TOP, folder], check=True)
    raw = folder / "shop"
    raw.mkdir()
    until = catalogue.start(config) + timedelta(days=OPENING_DAY)
    items = log.items(shop, SEED).filter(pl.col("first_seen") < until)
    items.write_parquet(raw / "items.parquet")
    parts = [part.filter(pl.col("timestamp") < until) for part in log.interactions(shop, SEED)]
    pl.concat(parts).write_parquet(raw / "interactions.parquet")
    settings(folder / "params.yaml", changes)
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(["dvc", "repro", "--quiet"], cwd=folder, check=True)
    subprocess.run(["recsys", "releases", "promote", "bundle"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return shop, folder / "releases"


def settings(path: Path, changes: dict[str, Any]) -> None:
    """Point the data set `files` to the shop's log, with the settings that were tuned for `synthetic`."""
    params = yaml.safe_load(path.read_text())
    tuned = params["datasets"]["synthetic"]
    columns = ["user_id", "item_id", "timestamp", "event", "value"]
    adapter = {
        "interactions": {"path": "shop/interactions.parquet", "columns": dict.fromkeys(columns)},
        "items": {"path": "shop/items.parquet", "columns": {}},
    }
    for part in adapter.values():
        part["columns"] = {name: name for name in part["columns"]}
    # a copy of its own: of what stands there twice, YAML would write the second as a reference, which is refused
    params["datasets"]["files"] = copy.deepcopy(tuned) | {"adapter": adapter}
    params["dataset"] = "files"
    for key, values in changes.items():
        section = params
        *way, last = key.split(".")
        for name in way:
            section = section[name]
        section[last] = {**section[last], **values} if isinstance(values, dict) else values
    path.write_text(yaml.safe_dump(params, sort_keys=False))
