"""Encodes answers and rows as JSON bytes, without the fields of pydantic models that have their default value."""

from typing import Any

import msgspec
from pydantic import BaseModel


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__}: cannot be encoded as JSON")


to_json = msgspec.json.Encoder(enc_hook=_plain).encode
