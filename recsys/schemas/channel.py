"""The channel: a table of the store through which all hosts follow one release, one set of rules and experiments.

Without RECSYS_CHANNEL=store the API follows files, and nothing here is used. `serving/live/channel.py` reads it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from recsys.errors import ParamsError, SourceUnreachableError, one_line
from recsys.schemas.store_schema import POSTGRES, SQLITE, URL_VARIABLE, named

VARIABLE = "RECSYS_CHANNEL"
POLL_S = 0.5
LEASE_S = 2.0  # four polls: a host that has not read the channel for so long may lack a change that counts by now
LEAD_S = LEASE_S + 1.0  # from the write of a change to its `since`; the commit may take the second more
CLOCK = {SQLITE: "unixepoch('subsec')", POSTGRES[0]: "extract(epoch FROM clock_timestamp())"}

Kind = Literal["releases", "rules", "experiments"]
Run = Callable[..., list[tuple[Any, ...]]]


class Change(NamedTuple):
    """A row of the channel. number: counts the changes of a kind; since: seconds UTC by the store's clock."""

    number: int
    version: str
    body: str
    since: float


def enabled() -> bool:
    """Return whether releases, rules and experiments are shared through the store."""
    return os.environ.get(VARIABLE, "files") == "store"


def digest(body: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return hashlib.sha256(body.encode()).hexdigest()


def newest(url: str, kind: Kind) -> Change | None:
    """Return the last change of a kind, also one that does not count yet.

    Raises:
        SourceUnreachableError: "postgresql://...: connection refused; the channel was not changed"
    """
    with _transaction(url) as run:
        return _newest(run, kind)


def put(url: str, kind: Kind, body: str, why: str = "", after: int | None = None, version: str = "") -> Change:
    """Write a change that counts from `LEAD_S` seconds on. after: the number of the change that this one was made from.

    Raises:
        ParamsError: "the rules were changed by somebody else meanwhile: look at them, and try again"
        SourceUnreachableError: as `newest`
    """
    with _transaction(url) as run:
        before = _newest(run, kind)
        number = before.number if before else 0
        if after is not None and after != number:
            raise ParamsError(f"the {kind} were changed by somebody else meanwhile: look at them, and try again")
        clock = CLOCK[SQLITE if url.startswith(SQLITE) else POSTGRES[0]]
        sha256 = digest(body)
        ((since,),) = run(
            f"""INSERT INTO channel (kind, number, version, sha256, body, since, who, why)
                VALUES ($1, $2, $3, $4, $5, {clock} + $6, $7, $8) RETURNING since""",
            *(kind, number + 1, version or sha256[:12], sha256, body, LEAD_S, _author(), why),
        )
    return Change(number + 1, version or sha256[:12], body, since)


def _newest(run: Run, kind: Kind) -> Change | None:
    rows = run("SELECT number, version, body, since FROM channel WHERE kind = $1 ORDER BY number DESC LIMIT 1", kind)
    return Change(*rows[0]) if rows else None


def _author() -> str:
    return os.environ.get("USER") or str(os.getuid())


@contextmanager
def _transaction(url: str) -> Iterator[Run]:
    """Open a transaction that excludes other writers of the channel."""
    import apsw  # here: what only reads a bundle has neither driver
    import psycopg

    try:
        if url.startswith(SQLITE):
            path = url.removeprefix(SQLITE)
            if not Path(path).is_file():
                raise SourceUnreachableError(f"{path}: no such file; set {URL_VARIABLE} to the store of the API")
            with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)) as file:
                file.set_busy_timeout(5000)
                file.transaction_mode = "IMMEDIATE"
                with file:
                    yield lambda statement, *values: file.execute(statement.replace("$", "?"), values).fetchall()
        elif url.startswith(POSTGRES):
            with psycopg.connect(url, prepare_threshold=None, connect_timeout=5) as server:
                server.execute("LOCK TABLE channel IN EXCLUSIVE MODE")
                cursor = psycopg.RawCursor(server)
                yield lambda statement, *values: cursor.execute(statement.encode(), values).fetchall()
        else:
            raise ParamsError(f"{named(url)}: expected sqlite:///path or postgresql://...; correct {URL_VARIABLE}")
    except (apsw.Error, psycopg.Error) as error:
        raise SourceUnreachableError(f"{named(url)}: {one_line(str(error))}; the channel was not changed") from error
