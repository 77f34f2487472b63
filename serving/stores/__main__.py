"""`python -m serving.stores migrate`: make or update the tables of the store in RECSYS_STORE_URL."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.bundle.releases import prune
from recsys.errors import reports_errors
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE
from serving.stores.admin import delete_old
from serving.stores.migrations import migrate as apply

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def stores() -> None:
    """The durable store of the API: events, exposures, items, identities."""


@app.command()
@reports_errors
def migrate(
    url: Annotated[str, typer.Option(envvar=URL_VARIABLE, help="sqlite:///path or postgresql://...")] = DEFAULT_URL,
) -> None:
    """Create the tables, or update them to the version that this code needs."""
    applied = apply(url)
    print(f"applied {', '.join(map(str, applied))}" if applied else "nothing to do")


@app.command()
@reports_errors
def retention(
    url: Annotated[str, typer.Option(envvar=URL_VARIABLE, help="sqlite:///path or postgresql://...")] = DEFAULT_URL,
    events: Annotated[float | None, typer.Option(envvar="RECSYS_KEEP_EVENTS_DAYS", min=0)] = None,
    exposures: Annotated[float | None, typer.Option(envvar="RECSYS_KEEP_EXPOSURES_DAYS", min=0)] = None,
    dead_letters: Annotated[float | None, typer.Option(envvar="RECSYS_KEEP_DEAD_LETTERS_DAYS", min=0)] = None,
    audit: Annotated[float | None, typer.Option(envvar="RECSYS_KEEP_AUDIT_DAYS", min=0)] = None,
    releases: Annotated[int | None, typer.Option(envvar="RECSYS_KEEP_RELEASES", min=2)] = None,
    folder: Annotated[Path, typer.Option(envvar="RECSYS_RELEASES", help="the releases")] = Path("releases"),
) -> None:
    """Delete events, exposures, dead letters (refused events) and audit rows older than the days set for them, and all
    releases but the newest, as many as are set. An option that is not set deletes nothing."""
    days = {"events": events, "person_items": events, "merges": events}
    days |= {"exposures": exposures, "item_versions": exposures, "snapshots": exposures}
    days |= {"dead_letters": dead_letters, "audit": audit}
    deleted = delete_old(url, {table: age for table, age in days.items() if age is not None})
    if releases is not None:
        deleted["releases"] = len(prune(folder, releases))
    print(", ".join(f"{table}: {n:,} deleted" for table, n in deleted.items()) or "nothing to do: no age is set")


if __name__ == "__main__":
    app()
