"""`python -m serving.stores migrate`: make or update the tables of the store in RECSYS_STORE_URL."""

from typing import Annotated

import typer

from recsys.errors import reports_errors
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE
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
    """Bring the tables to the version that this code needs; does nothing if they have it."""
    applied = apply(url)
    print(f"applied {', '.join(map(str, applied))}" if applied else "nothing to do")


if __name__ == "__main__":
    app()
