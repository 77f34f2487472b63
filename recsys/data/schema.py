"""The canonical tables: all columns of `interactions`, `items` and, if the data have them, `users` and `vectors`.

`prepare` keeps valid rows and quarantines the others, each with the first rule that it breaks as the reason, see
`recsys/data/validation.py`.
"""

import dataframely as dy

from recsys.schemas.field_limits import (
    EARLIEST,
    MAX_CATEGORIES,
    MAX_ID_LENGTH,
    MAX_TEXT_LENGTH,
    MAX_TITLE_LENGTH,
    MAX_VECTOR_LENGTH,
)


class Interactions(dy.Schema):
    """One row per event: user, item, event type and time.

    `value` is a rating, or price x quantity, or null. `weight` is the weight in training, from `event_weights`: above 0
    for a like, 0 for an event that shows no liking.
    """

    user_id = dy.String(min_length=1, max_length=MAX_ID_LENGTH)
    item_id = dy.String(min_length=1, max_length=MAX_ID_LENGTH)
    timestamp = dy.Datetime(min=EARLIEST, time_unit="us", time_zone="UTC")
    event = dy.String()
    value = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    weight = dy.Float32(min=0.0, allow_inf=False, allow_nan=False)


class Items(dy.Schema):
    """One row per item, with unique ids. `price` is per piece; `first_seen` is when the item was first on sale, UTC.

    `attributes`: further properties as the text of a JSON object, see `packed_attributes` in `field_limits`.
    """

    item_id = dy.String(min_length=1, max_length=MAX_ID_LENGTH)
    title = dy.String(max_length=MAX_TITLE_LENGTH)
    text = dy.String(max_length=MAX_TEXT_LENGTH)
    categories = dy.List(dy.String(min_length=1, max_length=MAX_ID_LENGTH), max_length=MAX_CATEGORIES)
    price = dy.Float64(nullable=True, min=0.0, allow_inf=False, allow_nan=False)
    available = dy.Bool()
    first_seen = dy.Datetime(nullable=True, min=EARLIEST, time_unit="us", time_zone="UTC")
    attributes = dy.String(nullable=True)


class Vectors(dy.Schema):
    """One row per item that brings a vector along, such as an embedding of its image, with unique ids."""

    item_id = dy.String(min_length=1, max_length=MAX_ID_LENGTH)
    vector = dy.List(dy.Float32(), max_length=MAX_VECTOR_LENGTH)


class Users(dy.Schema):
    """One row per user that the data describe, with unique ids. `attributes`: as of items."""

    user_id = dy.String(min_length=1, max_length=MAX_ID_LENGTH)
    attributes = dy.String(nullable=True)
