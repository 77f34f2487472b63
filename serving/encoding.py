"""Encodes answers and rows as JSON, with the numpy numbers that an extension may return."""

from typing import Any

import msgspec


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__}: not a type of JSON")


to_json = msgspec.json.Encoder(enc_hook=_plain).encode
