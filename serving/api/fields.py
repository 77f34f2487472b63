"""Fields that several requests share, with their limits."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

MAX_K = 100
MAX_ID_LENGTH = 256
MAX_LIST_LENGTH = 1000

# a NUL cannot be kept by PostgreSQL, and no id needs one
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]*$")]
# the format says where texts come from that fit: of this API, or of its documentation
Variant = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, json_schema_extra={"format": "recsys-variant"})]


def _whole(value: Any) -> Any:
    """JSON knows no integers: 5.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
K = Annotated[int, Field(ge=1, le=MAX_K), WHOLE, Field(description="how many items to answer with")]


def _no_number(value: Any) -> Any:
    # pydantic would take a number, also as text, and guess between seconds and milliseconds
    if isinstance(value, int | float) or (isinstance(value, str) and not value.strip(" +-.0123456789")):
        raise ValueError("wanted text such as 2026-03-01T12:00:00Z")
    return value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_no_number), Field(strict=False)]


class RequestModel(BaseModel):
    """Base of all requests: unknown fields and values of another type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
