"""The names that the API's store and its readers share: address, tables and columns; and the hash of a user_id.

`serving/stores/tables` makes the tables, docs/stores.md explains the columns.
"""

import hashlib

URL_VARIABLE = "RECSYS_STORE_URL"
SQLITE, POSTGRES = "sqlite:///", ("postgresql://", "postgres://")
DEFAULT_URL = f"{SQLITE}store/events.sqlite"

GUEST_PERSON = "a:"  # prefix of `person` for a guest who was never merged into a user
# by table, the columns that more than one module reads
EVENT_COLUMNS = (
    "event_id", "user_id", "anonymous_id", "item_id", "event", "value", "timestamp", "request_id", "received",
)  # fmt: skip
ITEM_COLUMNS = ("item_id", "title", "text", "categories", "price", "available", "first_seen", "attributes",
    "vector")  # fmt: skip
EXPOSURE_COLUMNS = ("request_id", "unit", "timestamp", "surface", "segment", "items", "context")
REPLAY_COLUMNS = ("request_id", "timestamp", "user_id", "anonymous_id", "person", "variant", "bundle_id", "surface",
    "items", "context", "replay")  # fmt: skip
FORGOTTEN_COLUMNS = ("fingerprint", "forgotten", "version")
TABLES = {
    "events": ("person", *EVENT_COLUMNS),
    "items": ITEM_COLUMNS,
    "exposures": EXPOSURE_COLUMNS,
    "forgotten": FORGOTTEN_COLUMNS,
    "salt": ("salt",),
}


def select_from(table: str, *columns: str) -> str:
    """Return the beginning of a query: "SELECT <columns> FROM <table>", by default all columns of `TABLES`.

    >>> select_from("salt")
    'SELECT salt FROM salt'
    """
    return f"SELECT {', '.join(columns or TABLES[table])} FROM {table}"


def fingerprint(salt: str, user_id: str) -> str:
    """Return the hash that the store keeps of a user whose data were erased; salt: the secret of that store."""
    return hashlib.sha256(f"{salt}{user_id}".encode()).hexdigest()


def named(url: str) -> str:
    """Return the url as messages show it, without the parts that may hold a password.

    >>> named("sqlite:///store/events.sqlite"), named("postgresql://anna:secret@host/shop")
    ('store/events.sqlite', 'postgresql://...')
    """
    if url.startswith(SQLITE):
        return url.removeprefix(SQLITE)
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://..." if separator else "the url of the store"
