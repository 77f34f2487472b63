"""The canonical tables: all columns of interactions and items and, if the data have them, of users and vectors.

`prepare` keeps valid rows and quarantines the others, each with the first rule that it breaks as the reason, see
`recsys/data/validation.py`. Limits of the values: `recsys/schemas/field_limits.py`.
"""

from typing import NamedTuple

import polars as pl

from recsys.schemas import field_limits as limits


class Column(NamedTuple):
    """A column. fault: the expression for what is wrong with each value, None if every value of the dtype is valid;
    nullable: whether a value may be missing."""

    dtype: pl.DataType
    fault: pl.Expr | None = None
    nullable: bool = False


Schema = dict[str, Column]
TEXT, NUMBER, TIME = pl.String(), pl.Float64(), pl.Datetime("us", "UTC")

# One row per event. `value` is a rating, or price x quantity, or null. `weight` is the weight in training, from
# `event_weights`: above 0 for a like, 0 for an event that shows no liking.
INTERACTIONS: Schema = {
    "user_id": Column(TEXT, limits.id_faults("user_id")),
    "item_id": Column(TEXT, limits.id_faults("item_id")),
    "timestamp": Column(TIME, limits.time_faults("timestamp")),
    "event": Column(TEXT),
    "value": Column(NUMBER, limits.number_faults("value"), nullable=True),
    "weight": Column(pl.Float32(), limits.number_faults("weight", negative=False)),
}
# One row per item, with unique ids. `price` is per piece; `first_seen` is when the item was first on sale, UTC.
# `attributes`: further properties as the text of a JSON object, see `packed_attributes` in `field_limits`.
ITEMS: Schema = {
    "item_id": Column(TEXT, limits.id_faults("item_id")),
    "title": Column(TEXT, limits.text_faults("title", limits.MAX_TITLE_LENGTH)),
    "text": Column(TEXT, limits.text_faults("text", limits.MAX_TEXT_LENGTH, lines=True)),
    "categories": Column(pl.List(TEXT), limits.categories_faults("categories")),
    "price": Column(NUMBER, limits.number_faults("price", negative=False), nullable=True),
    "available": Column(pl.Boolean()),
    "first_seen": Column(TIME, limits.time_faults("first_seen"), nullable=True),
    "attributes": Column(TEXT, limits.attributes_faults("attributes"), nullable=True),
}
# One row per item that brings a vector along, such as an embedding of its image, with unique ids.
VECTORS: Schema = {
    "item_id": ITEMS["item_id"],
    "vector": Column(pl.List(pl.Float32()), limits.vector_faults("vector")),
}
# One row per user that the data describe, with unique ids.
USERS: Schema = {"user_id": INTERACTIONS["user_id"], "attributes": ITEMS["attributes"]}
