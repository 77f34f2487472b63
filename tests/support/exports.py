"""What tests of the export share: how readers find the lists, and what should be there."""

import json
from pathlib import Path

import polars as pl
import psycopg
import redis

from recsys.bundle import bundle
from recsys.contracts import Query
from recsys.export import lists as export
from recsys.export.lists import Lists
from recsys.recommend.recommender import Recommender
from tests.support import bundles

K = 4
Rows = list[tuple[str, int, str, str, str]]  # user_id, rank, item_id, source, bundle_id


def two_bundles(folder: Path) -> list[Recommender]:
    """The hand-made bundle, and one in which the tastes of kitchen and garden are exchanged."""
    folders = bundles.write(folder / "a"), bundles.write(folder / "b", bundles.vectors()[:, [1, 0, 2]] * 2)
    return [Recommender(bundle.load(each)) for each in folders]


def read_file(path: Path) -> Rows:
    frame = pl.read_csv(path.read_bytes()) if path.suffix == ".csv" else pl.read_parquet(path.read_bytes())
    assert frame.columns == list(export.SCHEMA)
    return sorted(frame.select("user_id", "rank", "item_id", "source", "bundle_id").rows())


def read_postgresql(url: str, name: str) -> Rows:
    with psycopg.connect(url) as connection:
        found = connection.execute(f'SELECT user_id, rank, item_id, source, bundle_id FROM "{name}"').fetchall()
    return sorted(found)


def read_redis(url: str, name: str) -> Rows:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        start = f"{name}:{client.get(f'{name}:current')}:user:"
        lists = {key.removeprefix(start): json.loads(client.get(key)) for key in client.scan_iter(match=f"{start}*")}
    return sorted(
        (user_id, rank, item["item_id"], item["source"], item["bundle_id"])
        for user_id, listed in lists.items()
        for rank, item in enumerate(listed, 1)
    )


def expected(recommender: Recommender) -> Rows:
    made = recommender.bundle
    rows: Rows = []
    for user_id in bundles.HISTORIES:
        query = Query(made.histories.of(user_id), K, made.manifest.trained_until.timestamp(), user_id=user_id)
        for rank, slot in enumerate(recommender.recommend(query).slots, 1):
            item_id = made.catalogue.ids.external_id(slot.row)
            rows.append((user_id, rank, item_id, slot.source, made.manifest.bundle_id))
    return sorted(rows)


def target(recommender: Recommender, to: str, name: str) -> export.Target:
    return export.open_target(to, name, Lists(recommender, K).version)
