"""Encodes answers and rows as JSON; numbers of numpy, which a plug-in may have made, as Python's."""

from typing import Any

import msgspec


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__}: not a type of JSON")


to_json = msgspec.json.Encoder(enc_hook=_plain).encode
