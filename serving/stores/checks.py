"""Refuses rows that no store can hold, before they join a transaction with the writes of other callers."""

from collections.abc import Iterable

from serving.stores.protocol import Event, Exposure, Item, Rejected


def rows(batch: Iterable[Event | Rejected | Exposure | Item]) -> None:
    """Check whose an event is, and the texts of all rows but refused ones, which are escaped.

    Raises:
        ValueError: "event 'e1': neither user_id nor anonymous_id; send one of them", and see `texts`.
    """
    found: list[str] = []
    for row in batch:
        if isinstance(row, Event) and row.user_id is None and row.anonymous_id is None:
            raise ValueError(f"event {row.event_id!r:.80}: neither user_id nor anonymous_id; send one of them")
        if not isinstance(row, Rejected):
            cells = [getattr(row, name) for name in row.__struct_fields__]
            found += [cell for cell in cells if isinstance(cell, str)]
    texts(*found)


def texts(*values: str) -> None:
    """Check texts: PostgreSQL stores no NUL, and neither database half of a surrogate pair.

    Raises:
        ValueError: "'a\\x00': a text with a NUL or half of a surrogate pair cannot be stored; send it without"
    """
    if not _storable("".join(values)):
        value = next(value for value in values if not _storable(value))
        raise ValueError(f"{value!r:.80}: a text with a NUL or half of a surrogate pair cannot be stored")


def _storable(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
