"""Exports the best items of all users ahead of time, for callers that cannot call the API when a page is shown.

The lists are computed by the same `Recommender` as in the API and written in batches of users. The target records how
many users it holds, so that an interrupted export continues there. Readers see the old lists until all new ones are
written. Every row has the ids of its bundle and variant.
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
    """Stores the lists of one version in a file, PostgreSQL or Redis. database: name in messages; errors: types it
    raises."""

    database: str
    errors: tuple[type[Exception], ...]

    def begin(self) -> int:
        """Create the version if it is absent; return how many users it already holds."""

    def write(self, rows: pl.DataFrame, done: int) -> None:
        """Add the lists of a batch in one transaction. done: the number of users that the version then holds."""

    def finish(self) -> None:
        """Let readers see this version in place of the old one, in one step."""

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True)
class Lists:
    """The lists to export: the best `k` items of every user of a bundle. shape: the compiled business rules, None
    without any; rules: their version; forgotten: the users that asked to be forgotten, who get no list, None without a
    store; shard: (I, N) for the users of part I of N alone, 1 <= I <= N, see `IdTable.shard`."""

    recommender: Recommender
    k: int
    shape: SlateRules | None = None
    rules: str = ""
    forgotten: Forgotten | None = None
    shard: tuple[int, int] = (1, 1)

    @property
    def version(self) -> str:
        """The bundle id and a hash of the other inputs: only equal lists have the same version."""
        without = self.forgotten.version if self.forgotten else 0
        inputs = f"{self.recommender.variant} {self.k} {self.rules} {without}"
        return f"{self.recommender.bundle.manifest.bundle_id}_{hashlib.sha256(inputs.encode()).hexdigest()[:8]}"

    def write(self, target: Target, batch_users: int = BATCH_USERS) -> int:
        """Write the lists that the target lacks and let readers see them; return the number of users of the shard.

        Raises:
            RecsysError: "variant 'als': source als failed for user 'u7'; a list without it would stay until ..."
            RecsysError: "Redis: connection refused; readers still see the earlier lists, run the export again"
        """
        users = self.recommender.bundle.histories.users.shard(*self.shard)
        n_users = len(users)
        with _reported(target), closing(target):
            done = begun = target.begin()
            print(f"export: {n_users:,} users, {done:,} of them already written", file=sys.stderr)
            started = time.monotonic()
            while done < n_users:
                end = min(done + batch_users, n_users)
                target.write(pl.DataFrame(self._rows(users[done:end].tolist()), SCHEMA, orient="row"), end)
                done = end
                rate = (done - begun) / max(time.monotonic() - started, 1e-9)
                left = f"{(n_users - done) / rate:,.0f} s left"
                print(f"export: {done:,} users, {done / n_users:.0%}, {rate:,.0f} a second, {left}", file=sys.stderr)
            target.finish()
        return n_users

    def _rows(self, users: list[int]) -> Iterator[tuple[str, int, str, float, str, str, str]]:
        bundle, variant = self.recommender.bundle, self.recommender.variant
        bundle_id, item_id = bundle.manifest.bundle_id, bundle.catalogue.ids.external_id
        now = bundle.manifest.trained_until.timestamp()
        user_ids = pl.Series([bundle.histories.users.external_id(user) for user in users], dtype=pl.String)
        gone = set(user_ids.filter(self.forgotten.moment(user_ids).is_not_null())) if self.forgotten else ()
        for user, user_id in zip(users, user_ids, strict=True):
            if user_id in gone:
                continue
            history, attributes = bundle.histories.at(user), bundle.histories.query_attributes(user_id, {})
            query = Query(history, self.k, now, user_id, shown_at=now, attributes=attributes)
            answer = self.recommender.recommend(query, self.shape)
            if answer.degraded:
                raise RecsysError(
                    f"variant {variant!r}: {', '.join(answer.failed)} failed for user {user_id!r}; a list without it "
                    "would stay until the next export: repair the cause in the log above, then run the export again"
                )
            for rank, slot in enumerate(answer.slots, 1):
                yield user_id, rank, item_id(slot.row), slot.score, slot.source, bundle_id, variant


def lists(
    bundle: Bundle, variant: str | None, k: int, rules: Path, store: str, shard: tuple[int, int] = (1, 1)
) -> Lists:
    """Prepare the lists of a variant. variant: None for the bundle's default; rules: the file of business rules, unless
    those of the store's channel are used; store: the URL of the event store, which has the users that asked to be
    forgotten. File and store may be absent.

    Raises:
        ParamsError: the rules cannot be read.
        DataError, SourceUnreachableError: the store cannot be read.
    """
    shape, written, rules_version, forgotten = None, None, "", None
    if channel.enabled():
        if change := channel.newest(store, "rules"):
            written = schema.read(change.body.encode(), "the rules in the store")
            rules_version = channel.digest(change.body)
    elif rules.is_file():
        written, rules_version, _ = schema.load(rules)
    if written:
        shape = compiled(written, bundle)[0].at(time.time())
    if store != DEFAULT_URL or Path(store.removeprefix(SQLITE)).is_file():
        with snapshot(store) as select:
            forgotten = Forgotten(select)
    return Lists(Recommender(bundle, variant), k, shape, rules_version, forgotten, shard)


def shard_of(text: str) -> tuple[int, int]:
    """Return the number of a shard and how many there are: (2, 8) of "2/8".

    Raises:
        ParamsError: "--shard '0/8': expected I/N, the part I of N of the users, such as 1/8 to 8/8"
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ParamsError(f"--shard {text!r}: expected I/N, the part I of N of the users, such as 1/8 to 8/8")
    return int(match[1]), int(match[2])


def as_personalize(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `SCHEMA` as one line per user, in the form of the output of Amazon Personalize's batch inference:
    {"input": {"userId": ...}, "output": {"recommendedItems": [...], "scores": [...]}, "error": null}.

    Source: Amazon Personalize developer guide, "Batch inference job output examples".
    """
    users = rows.group_by("user_id", maintain_order=True).agg(recommendedItems="item_id", scores="score")
    output, error = pl.struct("recommendedItems", "scores"), pl.lit(None, pl.String)
    return users.select(input=pl.struct(userId="user_id"), output=output, error=error)


class Files:
    """The target for one file: .parquet, .csv, or .jsonl for `as_personalize`. Batches are stored in a folder beside it
    until all are complete."""

    database: str = ""
    errors: tuple[type[Exception], ...] = ()

    def __init__(self, path: Path, version: str) -> None:
        self._path = path
        self._parts = path.with_name(f"{path.name}.{version}.partial")

    def begin(self) -> int:
        for other in self._path.parent.glob(f"{glob.escape(self._path.name)}.*.partial"):
            if other != self._parts:  # of an abandoned export
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
            if self._path.suffix == ".jsonl":
                with aside.open("wb") as file:
                    for part in parts:  # no user is in two of them
                        as_personalize(pl.read_parquet(part, glob=False)).write_ndjson(file)
            else:
                rows.sink_csv(aside) if self._path.suffix == ".csv" else rows.sink_parquet(aside)
        shutil.rmtree(self._parts)

    def close(self) -> None:
        pass


def open_target(to: str, name: str, version: str, shard: tuple[int, int] | None = None) -> Target:
    """Open the target of an export. to: a file name, or a URL of PostgreSQL or Redis; name: of the view or keys there;
    shard: (2, 8) writes the file "lists-2-of-8.csv" for "lists.csv", None the file itself.

    Raises:
        ParamsError: "--shard: a database lets readers see all new lists at once; write .parquet, .csv or .jsonl"
        ParamsError: "'lists.json': an export goes to a file .parquet, .csv or .jsonl, or to postgresql://..., redis://..."
    """
    if not re.fullmatch(r"[A-Za-z_][\w-]{0,29}", name, re.ASCII):
        raise ParamsError(f"--name {name!r}: expected up to 30 letters, digits, _ or -, the first one a letter or _")
    if shard and "://" in to:
        raise ParamsError("--shard: a database lets readers see all new lists at once; write .parquet, .csv or .jsonl")
    if to.startswith("postgresql://"):
        from recsys.export.postgresql import Table

        with _reported(Table):
            return Table(to, name, version)
    if to.startswith(("redis://", "rediss://", "unix://")):
        from recsys.export.redis import Keys

        return Keys(to, name, version)
    if to.endswith((".parquet", ".csv", ".jsonl")):
        path = Path(to)
        return Files(path.with_stem(f"{path.stem}-{shard[0]}-of-{shard[1]}") if shard else path, version)
    raise ParamsError(f"{to!r}: an export goes to a file .parquet, .csv or .jsonl, or to postgresql://..., redis://...")


@contextmanager
def _reported(target: Target | type[Target]) -> Iterator[None]:
    try:
        yield
    except target.errors as error:
        raise RecsysError(
            f"{target.database}: {one_line(str(error))}; readers still see the earlier lists, run the export again"
        ) from error
