"""Refuses rows that no store can hold, before they join a transaction with the writes of other callers."""

from collections.abc import Iterable, Sequence

from serving.stores.protocol import Event, Exposure, Item, Rejected


def events(batch: Sequence[Event | Rejected]) -> None:
    """Check events; raises ValueError: "event 'e1': neither user_id nor anonymous_id; send one of them"."""
    for event in batch:
        if isinstance(event, Rejected):
            continue
        if event.user_id is None and event.anonymous_id is None:
            raise ValueError(f"event {event.event_id!r:.80}: neither user_id nor anonymous_id; send one of them")
        texts(event.event_id, event.user_id, event.anonymous_id, event.item_id, event.event, event.request_id)


def exposures(batch: Sequence[Exposure]) -> None:
    """Check the texts of exposures; raises ValueError, see `texts`."""
    for shown in batch:
        texts(shown.request_id, shown.unit, shown.user_id, shown.anonymous_id, shown.experiment, shown.variant)
        texts(shown.bundle_id, shown.surface, shown.segment)


def items(batch: Iterable[Item]) -> None:
    """Check the texts of items; raises ValueError, see `texts`."""
    for item in batch:
        texts(item.item_id, item.title, item.text)


def texts(*values: str | None) -> None:
    """Check texts: PostgreSQL stores no NUL, and neither database half of a surrogate pair.

    Raises:
        ValueError: "'a\\x00': a text with a NUL or half of a surrogate pair cannot be stored; send it without"
    """
    for value in values:
        if value is not None and not _storable(value):
            raise ValueError(f"{value!r:.80}: a text with a NUL or half of a surrogate pair cannot be stored")


def _storable(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
