"""The best items of all users, worked out ahead: for callers that cannot ask the API when a page is shown.

One batch of users at a time goes through the same `Recommender` that serves, and into a target that remembers how many
users it holds: a run that was killed goes on where it stopped. Readers see the old lists until the last user is in,
then the new ones, in one step. Every row names the bundle and the variant it comes from.
"""

import glob
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import polars as pl

from recsys.contracts import Query
from recsys.errors import ParamsError, RecsysError
from recsys.recommender import Recommender

BATCH_USERS = 5_000
SCHEMA = {
    "user_id": pl.String(), "rank": pl.Int32(), "item_id": pl.String(), "score": pl.Float32(), "source": pl.String(),
    "bundle_id": pl.String(), "variant": pl.String(),
}  # fmt: skip


class Target(Protocol):
    """Where the lists of one version go."""

    def begin(self) -> int:
        """How many users this version already holds."""
        ...

    def write(self, rows: pl.DataFrame, done: int) -> None:
        """Add the lists of a batch, whole or not at all; from then on the version holds `done` users."""
        ...

    def finish(self) -> None:
        """Show this version to the readers, in one step."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def version(recommender: Recommender, k: int) -> str:
    """The same for equal lists: bundle, variant and length."""
    bundle_id = recommender.bundle.manifest.bundle_id
    return f"{bundle_id}_{hashlib.sha256(f'{recommender.variant} {k}'.encode()).hexdigest()[:8]}"


def export(recommender: Recommender, k: int, target: Target, batch_users: int = BATCH_USERS) -> int:
    """Write the best `k` items of every user of the bundle, return the number of users.

    Raises:
        RecsysError: "variant 'als': source als failed for user 'u7'; a list without it would stay until ..."
    """
    with closing(target):
        return _export(recommender, k, target, batch_users)


def _export(recommender: Recommender, k: int, target: Target, batch_users: int) -> int:
    n_users = len(recommender.bundle.histories.users)
    done = begun = target.begin()
    print(f"export: {n_users:,} users, {done:,} of them are there already", file=sys.stderr)
    started = time.monotonic()
    while done < n_users:
        end = min(done + batch_users, n_users)
        target.write(pl.DataFrame(_lists(recommender, range(done, end), k), SCHEMA, orient="row"), end)
        done = end
        rate = (done - begun) / max(time.monotonic() - started, 1e-9)
        left = (n_users - done) / rate
        print(
            f"export: {done:,} users, {done / n_users:.0%}, {rate:,.0f} a second, {left:,.0f} s left", file=sys.stderr
        )
    target.finish()
    return n_users


def _lists(recommender: Recommender, users: range, k: int) -> Iterator[tuple[str, int, str, float, str, str, str]]:
    bundle = recommender.bundle
    manifest, item_id = bundle.manifest, bundle.catalogue.ids.external_id
    now = manifest.trained_until.timestamp()
    for user in users:
        user_id = bundle.histories.users.external_id(user)
        answer = recommender.recommend(Query(history=bundle.histories.at(user), k=k, now=now, user_id=user_id))
        if answer.degraded:
            raise RecsysError(
                f"variant {recommender.variant!r}: {', '.join(answer.failed)} failed for user {user_id!r}; a list "
                "without it would stay until the next export: repair what the log above shows, then run this again"
            )
        for rank, slot in enumerate(answer.slots, 1):
            yield user_id, rank, item_id(slot.row), slot.score, slot.source, manifest.bundle_id, recommender.variant


class Files:
    """One file, .parquet or .csv. The batches wait in a folder beside it, which is gone when the file is there."""

    def __init__(self, path: Path, version: str) -> None:
        self._path = path
        self._parts = path.with_name(f"{path.name}.{version}.partial")

    def begin(self) -> int:
        for other in self._path.parent.glob(f"{glob.escape(self._path.name)}.*.partial"):
            if other != self._parts:  # of an export that was given up
                shutil.rmtree(other)
        self._parts.mkdir(parents=True, exist_ok=True)
        return max((int(part.stem) for part in self._parts.glob("*.parquet")), default=0)

    def write(self, rows: pl.DataFrame, done: int) -> None:
        part = self._parts / f"{done:012}.parquet"
        aside = part.with_suffix(".writing")
        rows.write_parquet(aside)
        aside.rename(part)

    def finish(self) -> None:
        parts = sorted(self._parts.glob("*.parquet"))
        rows = pl.scan_parquet(parts, glob=False) if parts else pl.LazyFrame(schema=SCHEMA)
        aside = self._parts / "whole"
        rows.sink_csv(aside) if self._path.suffix == ".csv" else rows.sink_parquet(aside)
        aside.replace(self._path)
        shutil.rmtree(self._parts)

    def close(self) -> None:
        pass


def open_target(to: str, name: str, version: str) -> Target:
    """A file, a PostgreSQL database or a Redis, by how the address begins or ends.

    Raises:
        ParamsError: "'lists.json': an export goes to a file .parquet or .csv, or to postgresql://..., redis://..."
    """
    if not re.fullmatch(r"[A-Za-z_][\w-]{0,29}", name, re.ASCII):
        raise ParamsError(f"--name {name!r}: wanted up to 30 letters, digits, _ or -, the first one a letter or _")
    if to.startswith("postgresql://"):
        from recsys.export_postgresql import Table

        return Table(to, name, version)
    if to.startswith(("redis://", "rediss://", "unix://")):
        from recsys.export_redis import Keys

        return Keys(to, name, version)
    if to.endswith((".parquet", ".csv")):
        return Files(Path(to), version)
    raise ParamsError(f"{to!r}: an export goes to a file .parquet or .csv, or to postgresql://..., redis://...")
