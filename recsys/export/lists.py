"""Exports the best items of all users ahead of time, for callers that cannot ask the API when a page is shown.

Users go in batches through the same `Recommender` that serves, into a target that records how many users it holds: a
run that was killed resumes there. Readers see the old lists until the last user is written, then all new ones at once.
Every row names its bundle and variant.
"""

import glob
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from recsys.bundle.bundle import Bundle
from recsys.business_rules import schema
from recsys.business_rules.slate import compiled
from recsys.contracts import Query
from recsys.errors import ParamsError, RecsysError, one_line
from recsys.output import replaced_file
from recsys.recommend.recommender import Recommender
from recsys.recommend.slate_rules import SlateRules
from recsys.schemas import channel
from recsys.schemas.store_reader import Forgotten, snapshot
from recsys.schemas.store_schema import DEFAULT_URL, SQLITE

BATCH_USERS = 5_000
SCHEMA = {
    "user_id": pl.String(), "rank": pl.Int32(), "item_id": pl.String(), "score": pl.Float32(), "source": pl.String(),
    "bundle_id": pl.String(), "variant": pl.String(),
}  # fmt: skip


class Target(Protocol):
    """Stores the lists of one version: a file, PostgreSQL or Redis. errors: what the database raises when it fails."""

    database: str
    errors: tuple[type[Exception], ...]

    def begin(self) -> int:
        """Return how many users this version already holds."""
        ...

    def write(self, rows: pl.DataFrame, done: int) -> None:
        """Add the lists of a batch, all or none of them; afterwards the version holds `done` users."""
        ...

    def finish(self) -> None:
        """Show this version to the readers, in one step."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True)
class Lists:
    """The best `k` items of every user of a bundle but the forgotten ones, under the shop's rules.

    rules: the version of the rules that `shape` was compiled from.
    """

    recommender: Recommender
    k: int
    shape: SlateRules | None = None
    rules: str = ""
    forgotten: Forgotten | None = None

    @property
    def version(self) -> str:
        """Return a hash of the inputs of the lists: only equal lists have the same one."""
        without = self.forgotten.version if self.forgotten else 0
        told = f"{self.recommender.variant} {self.k} {self.rules} {without}"
        return f"{self.recommender.bundle.manifest.bundle_id}_{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def write(self, target: Target, batch_users: int = BATCH_USERS) -> int:
        """Write the lists that the target lacks and publish them; return the number of users of the bundle.

        Raises:
            RecsysError: "variant 'als': source als failed for user 'u7'; a list without it would stay until ..."
            RecsysError: "Redis: connection refused; readers still see the earlier lists, run the export again"
        """
        n_users = len(self.recommender.bundle.histories.users)
        with _reported(target), closing(target):
            done = begun = target.begin()
            print(f"export: {n_users:,} users, {done:,} of them are there already", file=sys.stderr)
            started = time.monotonic()
            while done < n_users:
                end = min(done + batch_users, n_users)
                target.write(pl.DataFrame(self._rows(range(done, end)), SCHEMA, orient="row"), end)
                done = end
                rate = (done - begun) / max(time.monotonic() - started, 1e-9)
                left = f"{(n_users - done) / rate:,.0f} s left"
                print(f"export: {done:,} users, {done / n_users:.0%}, {rate:,.0f} a second, {left}", file=sys.stderr)
            target.finish()
        return n_users

    def _rows(self, users: range) -> Iterator[tuple[str, int, str, float, str, str, str]]:
        bundle, variant = self.recommender.bundle, self.recommender.variant
        bundle_id, item_id = bundle.manifest.bundle_id, bundle.catalogue.ids.external_id
        now = bundle.manifest.trained_until.timestamp()
        user_ids = pl.Series([bundle.histories.users.external_id(user) for user in users], dtype=pl.String)
        gone = set(user_ids.filter(self.forgotten.moment(user_ids).is_not_null())) if self.forgotten else ()
        for user, user_id in zip(users, user_ids, strict=True):
            if user_id in gone:
                continue
            query = Query(history=bundle.histories.at(user), k=self.k, now=now, user_id=user_id, shown_at=now)
            answer = self.recommender.recommend(query, self.shape)
            if answer.degraded:
                raise RecsysError(
                    f"variant {variant!r}: {', '.join(answer.failed)} failed for user {user_id!r}; a list without it "
                    "would stay until the next export: the log above has the cause: repair it, then run this again"
                )
            for rank, slot in enumerate(answer.slots, 1):
                yield user_id, rank, item_id(slot.row), slot.score, slot.source, bundle_id, variant


def lists(bundle: Bundle, variant: str | None, k: int, rules: Path, store: str) -> Lists:
    """Prepare the lists of a variant, None for the default, with the shop's rules and the forgotten users of the store.

    The rules are those of the store's channel if it is used, else those of the file. There may be neither rules nor
    store.

    Raises:
        ParamsError: the rules cannot be read.
        DataError, SourceUnreachableError: the store cannot be read.
    """
    shape, written, rules_version, forgotten = None, None, "", None
    if channel.enabled():
        if change := channel.newest(store, "rules"):
            written = schema.read(change.body.encode(), "the rules of the channel")
            rules_version = channel.digest(change.body)
    elif rules.is_file():
        written, rules_version, _ = schema.load(rules)
    if written:
        shape = compiled(written, bundle)[0].at(time.time())
    if store != DEFAULT_URL or Path(store.removeprefix(SQLITE)).is_file():
        with snapshot(store) as select:
            forgotten = Forgotten(select)
    return Lists(Recommender(bundle, variant), k, shape, rules_version, forgotten)


class Files:
    """One file, .parquet or .csv. Batches are kept in a folder beside it until the file is complete."""

    database: str = ""
    errors: tuple[type[Exception], ...] = ()

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
        with replaced_file(part) as aside:
            rows.write_parquet(aside)

    def finish(self) -> None:
        parts = sorted(self._parts.glob("*.parquet"))
        rows = pl.scan_parquet(parts, glob=False) if parts else pl.LazyFrame(schema=SCHEMA)
        with replaced_file(self._path) as aside:
            rows.sink_csv(aside) if self._path.suffix == ".csv" else rows.sink_parquet(aside)
        shutil.rmtree(self._parts)

    def close(self) -> None:
        pass


def open_target(to: str, name: str, version: str) -> Target:
    """Return the target of an address: a file name, or a url of PostgreSQL or Redis.

    Raises:
        ParamsError: "'lists.json': an export goes to a file .parquet or .csv, or to postgresql://..., redis://..."
    """
    if not re.fullmatch(r"[A-Za-z_][\w-]{0,29}", name, re.ASCII):
        raise ParamsError(f"--name {name!r}: expected up to 30 letters, digits, _ or -, the first one a letter or _")
    if to.startswith("postgresql://"):
        from recsys.export.postgresql import Table

        with _reported(Table):
            return Table(to, name, version)
    if to.startswith(("redis://", "rediss://", "unix://")):
        from recsys.export.redis import Keys

        return Keys(to, name, version)
    if to.endswith((".parquet", ".csv")):
        return Files(Path(to), version)
    raise ParamsError(f"{to!r}: an export goes to a file .parquet or .csv, or to postgresql://..., redis://...")


@contextmanager
def _reported(target: Target | type[Target]) -> Iterator[None]:
    try:
        yield
    except target.errors as error:
        raise RecsysError(
            f"{target.database}: {one_line(str(error))}; readers still see the earlier lists, run the export again"
        ) from error
