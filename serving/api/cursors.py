"""Paging without repeats: the cursor contains the item ids of earlier pages, so the server keeps no state.

A cursor is valid in every worker, also after a change of the bundle. It is JSON in base64url, with its HMAC.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

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
    cursor = _signed(urlsafe_b64encode(to_json(shown)).rstrip(b"="), secret).decode()
    return cursor if len(cursor) <= MAX_CURSOR_LENGTH else None


def decode(cursor: str, secret: str) -> list[str]:
    """Return the item ids of the earlier pages.

    Raises:
        ApiError: 422 "cursor: not made by this API; send the next_cursor of an answer unchanged, or no cursor"
    """
    try:
        content = cursor.encode().rpartition(b".")[0]
        if hmac.compare_digest(cursor.encode(), _signed(content, secret)):
            return _SHOWN.validate_json(urlsafe_b64decode(content + b"=" * (-len(content) % 4)), strict=True)
    except ValueError:  # no text in Unicode, or a signed content that is not a list of ids
        pass
    reason = "not made by this API; send the next_cursor of an answer unchanged, or no cursor"
    raise ApiError(422, f"cursor: {reason}", "cursor")


def _signed(content: bytes, secret: str) -> bytes:
    return content + b"." + urlsafe_b64encode(hmac.digest(_key(secret), content, "sha256")).rstrip(b"=")


@lru_cache(1)
def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"cursor", "sha256")
