"""Exports lists to Redis: one key per user and version, and one key with the current version.

    <name>:current                    the current version
    <name>:<version>:user:<user_id>   JSON: [{"item_id", "score", "source", "bundle_id", "variant"}, ...], best first
    <name>:<version>:users            how many users the version holds; deleted when another version is current
    <name>:versions                   the set of versions that were not set to expire

A reader gets the current version, then the key of the user. The keys of a version expire an hour after it is replaced.
"""

import json
from itertools import groupby
from operator import itemgetter

import polars as pl
import redis

KEEP_OLD_SECONDS = 3600
SCAN_KEYS = 1000
FIELDS = ("item_id", "score", "source", "bundle_id", "variant")


class Keys:
    """The target for Redis. It writes each batch of lists in one transaction under keys of the new version; at the end
    one SET of `<name>:current` makes readers use them."""

    database: str = "Redis"
    errors: tuple[type[Exception], ...] = (redis.RedisError,)

    def __init__(self, url: str, name: str, version: str) -> None:
        self._redis = redis.Redis.from_url(url, decode_responses=True)
        self._name = name
        self._version = version
        self._users = f"{name}:{version}:users"

    def begin(self) -> int:
        self._redis.sadd(f"{self._name}:versions", self._version)
        return int(self._redis.get(self._users) or 0)

    def write(self, rows: pl.DataFrame, done: int) -> None:
        with self._redis.pipeline(transaction=True) as batch:
            for user_id, mine in groupby(rows.iter_rows(named=True), key=itemgetter("user_id")):
                listed = [{field: row[field] for field in FIELDS} for row in mine]
                batch.set(f"{self._name}:{self._version}:user:{user_id}", json.dumps(listed, ensure_ascii=False))
            batch.set(self._users, done)
            batch.execute()

    def finish(self) -> None:
        self._redis.set(f"{self._name}:current", self._version)
        for version in map(str, self._redis.smembers(f"{self._name}:versions")):
            if version != self._version:
                # first the count: an export of this version that starts now must write all its keys again
                self._redis.delete(f"{self._name}:{version}:users")
                self._expire(f"{self._name}:{version}:user:*")
                self._redis.srem(f"{self._name}:versions", version)

    def close(self) -> None:
        self._redis.close()

    def _expire(self, pattern: str) -> None:
        with self._redis.pipeline(transaction=False) as batch:
            for number, key in enumerate(self._redis.scan_iter(match=pattern, count=SCAN_KEYS), 1):
                batch.expire(key, KEEP_OLD_SECONDS)
                if number % SCAN_KEYS == 0:
                    batch.execute()
            batch.execute()
