"""Paging without repeats: the cursor contains the item ids of earlier pages, so the server keeps no state.

A cursor is valid in every worker, also after a change of the bundle. It is JSON in base64url, signed by itsdangerous.
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
    """Return the cursor of the page after these items; None if there are none, or too many for another page."""
    if not shown or len(shown) > MAX_SHOWN:
        return None
    cursor = _signer(secret).sign(base64_encode(to_json(shown))).decode()
    return cursor if len(cursor) <= MAX_CURSOR_LENGTH else None


def decode(cursor: str, secret: str) -> list[str]:
    """Return the item ids of the earlier pages.

    Raises:
        ApiError: 422 "cursor: not made by this API; send the next_cursor of an answer unchanged, or no cursor"
    """
    try:
        return _SHOWN.validate_json(base64_decode(_signer(secret).unsign(cursor)), strict=True)
    except (BadData, ValueError):  # an invalid signature, or a signed content that is not a list of ids
        reason = "not made by this API; send the next_cursor of an answer unchanged, or no cursor"
        raise ApiError(422, f"cursor: {reason}", "cursor") from None


@lru_cache(1)
def _signer(secret: str) -> Signer:
    """Return a signer whose key is derived once; itsdangerous would derive it again for each cursor."""
    key = hmac.digest(secret.encode(), b"cursor", "sha256")
    return Signer(key, key_derivation="none", digest_method=hashlib.sha256)
