"""The channel: a table of the store through which all hosts follow one release, one set of rules and experiments.

Used only with RECSYS_CHANNEL=store; otherwise the API follows files. `serving/live/channel.py` is the API's reader.
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
LEASE_S = 2.0  # four polls: a host that could not read for longer may lack a change that others follow already
LEAD_S = LEASE_S + 1.0  # from the write to `since`: the commit may take up to a second
CLOCK = {SQLITE: "unixepoch('subsec')", POSTGRES[0]: "extract(epoch FROM clock_timestamp())"}

Kind = Literal["releases", "rules", "experiments"]
Run = Callable[..., list[tuple[Any, ...]]]


class Change(NamedTuple):
    """A row of the channel. number: 1, 2, ... within its kind; version: the release's id, or a hash of the content.

    body: the content, as text; since: when hosts begin to follow it, UTC seconds by the store's clock.
    """

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
    """Return the newest change of a kind, even if hosts do not follow it yet; None if there is none.

    Raises:
        SourceUnreachableError: "postgresql://...: connection refused; nothing was changed there"
    """
    with _transaction(url) as run:
        return _newest(run, kind)


def put(url: str, kind: Kind, body: str, why: str = "", after: int | None = None, version: str = "") -> Change:
    """Write a change that hosts follow `LEAD_S` seconds later. why: the reason, for the log.

    after: the number of the change that this one replaces, 0 for none; a newer one is an error. None skips this check.
    version: by default the start of the content's hash.

    Raises:
        ParamsError: "the rules in the store changed meanwhile: read them again, then repeat the command"
        SourceUnreachableError: as `newest`
    """
    with _transaction(url) as run:
        before = _newest(run, kind)
        number = before.number if before else 0
        if after is not None and after != number:
            raise ParamsError(f"the {kind} in the store changed meanwhile: read them again, then repeat the command")
        clock = CLOCK[SQLITE if url.startswith(SQLITE) else POSTGRES[0]]
        sha256, author = digest(body), os.environ.get("USER") or str(os.getuid())
        ((since,),) = run(
            f"""INSERT INTO channel (kind, number, version, sha256, body, since, who, why)
                VALUES ($1, $2, $3, $4, $5, {clock} + $6, $7, $8) RETURNING since""",
            *(kind, number + 1, version or sha256[:12], sha256, body, LEAD_S, author, why),
        )
    return Change(number + 1, version or sha256[:12], body, since)


def _newest(run: Run, kind: Kind) -> Change | None:
    rows = run("SELECT number, version, body, since FROM channel WHERE kind = $1 ORDER BY number DESC LIMIT 1", kind)
    return Change(*rows[0]) if rows else None


@contextmanager
def _transaction(url: str) -> Iterator[Run]:
    """Open a transaction that excludes other writers of the channel."""
    import apsw  # imported here: an environment that only reads bundles has neither driver
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
        raise SourceUnreachableError(f"{named(url)}: {one_line(str(error))}; nothing was changed there") from error
