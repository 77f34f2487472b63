"""Types of fields that several requests share, with the limits of `recsys/schemas/field_limits.py`."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
)

from recsys.schemas import field_limits as limits

MAX_K = 100
MAX_LIST_LENGTH = 1000
MAX_LABEL_LENGTH = 64


def _without(fault_of: Callable[[Any], str | None]) -> AfterValidator:
    """Return a validator that raises `limits.MESSAGES[fault]` if `fault_of` returns the name of a fault."""

    def check(value: Any) -> Any:
        if fault := fault_of(value):
            raise ValueError(limits.MESSAGES[fault])
        return value

    return AfterValidator(check)


def _text(max_length: int, *, lines: bool = False) -> AfterValidator:
    return _without(lambda value: limits.text_fault(value, max_length, lines=lines))


# the formats name a kind of text, so that a client that generates requests can fill in valid values
_ID_LENGTH = Field(min_length=1, max_length=limits.MAX_ID_LENGTH)
Identifier = Annotated[str, _ID_LENGTH, _without(limits.id_fault), Field(json_schema_extra={"format": "recsys-id"})]
UserId = Annotated[Identifier, _without(lambda value: "guest" if value.startswith(limits.GUEST) else None)]
GuestId = Annotated[Identifier, Field(max_length=limits.MAX_GUEST_LENGTH)]
Variant = Annotated[str, _ID_LENGTH, Field(json_schema_extra={"format": "recsys-variant"})]
# an id to forget or export: wider, as earlier versions accepted ids that are refused now
StoredId = Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_LENGTH, pattern=r"^[^\x00]*$")]

ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_ONE_LINE = Field(json_schema_extra={"pattern": ONE_LINE})
_LINES_PATTERN: dict[str, JsonValue] = {"pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"}
_LINES = Field(json_schema_extra=_LINES_PATTERN)
Name = Annotated[str, _ID_LENGTH, _text(limits.MAX_ID_LENGTH), _ONE_LINE]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LENGTH), _text(MAX_LABEL_LENGTH), _ONE_LINE]
Title = Annotated[str, Field(max_length=limits.MAX_TITLE_LENGTH), _text(limits.MAX_TITLE_LENGTH), _ONE_LINE]
Text = Annotated[str, Field(max_length=limits.MAX_TEXT_LENGTH), _text(limits.MAX_TEXT_LENGTH, lines=True), _LINES]
Number = Annotated[float, Field(ge=-limits.MAX_NUMBER, le=limits.MAX_NUMBER, allow_inf_nan=False)]
_SOME_NUMBER: dict[str, JsonValue] = {
    "contains": {"anyOf": [{"minimum": limits.LEAST_VECTOR_NUMBER}, {"maximum": -limits.LEAST_VECTOR_NUMBER}]}
}
Vector = Annotated[
    list[Number],
    Field(min_length=1, max_length=limits.MAX_VECTOR_LENGTH, json_schema_extra=_SOME_NUMBER),
    _without(limits.vector_fault),
]


# API, store and training share the check of attributes; the schema has the part of it that JSON Schema can express
_VALUES = [
    {"type": "string", "maxLength": limits.MAX_ATTRIBUTE_LENGTH, **_LINES_PATTERN},
    {"type": "number", "minimum": -limits.MAX_NUMBER, "maximum": limits.MAX_NUMBER},
    {"type": "boolean"},
    {
        "type": "array",
        "maxItems": limits.MAX_CATEGORIES,
        "items": {"type": "string", "minLength": 1, "maxLength": limits.MAX_ID_LENGTH, "pattern": ONE_LINE},
    },
]
Attributes = Annotated[
    dict[str, Any],
    _without(limits.attributes_fault),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{limits.ATTRIBUTE_NAME}$"},
            "maxProperties": limits.MAX_ATTRIBUTES,
            "additionalProperties": {"anyOf": _VALUES},
        }
    ),
]
Fields = Annotated[
    Annotated[
        list[Annotated[str, Field(pattern=f"^{limits.ATTRIBUTE_NAME}$")]], Field(max_length=limits.MAX_ATTRIBUTES)
    ]
    | None,
    Field(
        description="names of the fields that each item of the answer has in `fields`: title, text, categories, price, "
        "or attributes; absent: the service's setting"
    ),
]


def _whole(value: Any) -> Any:
    """Convert 5.0 to 5, because JSON has only one type of number; refuse 1_0, which pydantic would read as 10."""
    if isinstance(value, str) and "_" in value:
        raise ValueError("expected a whole number in digits")
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
K = Annotated[int, Field(ge=1, le=MAX_K), WHOLE, Field(description="how many items to answer with")]


def _no_number(value: Any) -> Any:
    # pydantic would accept a number, also as text, and guess between seconds and milliseconds
    if isinstance(value, int | float) or (isinstance(value, str) and not value.strip(" +-.0123456789eE")):
        raise ValueError("expected a date and time with time zone as text, such as 2026-03-01T12:00:00Z")
    return value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_no_number), Field(strict=False), _without(limits.time_fault)]


class RequestModel(BaseModel):
    """Base class of all requests: unknown fields, and values of another type, are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
