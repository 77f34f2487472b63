"""Paging without repeats: the cursor itself carries the item ids of earlier pages, so the server keeps no state.

A cursor stays valid in every worker and after a swap of the bundle. It is JSON in base64url, signed by itsdangerous.
"""

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from pydantic import Field, TypeAdapter

from serving.api.errors import ApiError
from serving.api.schemas import MAX_CURSOR_LENGTH
from serving.encoding import to_json

MAX_SHOWN = 1000
_SHOWN = TypeAdapter(Annotated[list[str], Field(max_length=MAX_SHOWN)])


def encode(shown: Sequence[str], secret: str) -> str | None:
    """Return the cursor of the page after these items; None after the last page that is offered."""
    if not shown or len(shown) > MAX_SHOWN:
        return None
    cursor = _signer(secret).sign(base64_encode(to_json(shown))).decode()
    return cursor if len(cursor) <= MAX_CURSOR_LENGTH else None


def decode(cursor: str, secret: str) -> list[str]:
    """Return the items of the pages before.

    Raises:
        ApiError: 422 "cursor: not one that this API gave; send next_cursor as it came, or none to start anew"
    """
    try:
        return _SHOWN.validate_json(base64_decode(_signer(secret).unsign(cursor)), strict=True)
    except (BadData, ValueError):  # not signed, or signed by somebody who knows the secret and is no list of ids
        reason = "not one that this API gave; send next_cursor as it came, or none"
        raise ApiError(422, f"cursor: {reason}", "cursor") from None


@lru_cache(1)
def _signer(secret: str) -> Signer:
    """Return a signer whose key is derived once, where itsdangerous would derive it for each cursor."""
    key = hmac.digest(secret.encode(), b"cursor", "sha256")
    return Signer(key, key_derivation="none", digest_method=hashlib.sha256)
