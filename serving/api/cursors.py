"""Paging without repeats: a cursor carries the ids that were shown, so that nothing is kept here between two pages.

It stays valid in every worker and over a swap of the bundle. base64url(16 bytes of HMAC + JSON).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence

from serving.api.errors import ApiError
from serving.api.schemas import MAX_CURSOR_LENGTH

MAX_SHOWN = 1000
SEAL_BYTES = 16


def encode(shown: Sequence[str], secret: str) -> str | None:
    """The cursor of the page after these items; None after so many that nobody reads on."""
    if not shown or len(shown) > MAX_SHOWN:
        return None
    packed = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
    cursor = base64.urlsafe_b64encode(_seal(packed, secret) + packed).decode()
    return cursor if len(cursor) <= MAX_CURSOR_LENGTH else None


def decode(cursor: str, secret: str) -> list[str]:
    """The items that were shown on the pages before.

    Raises:
        ApiError: 422 "cursor: not one that this API gave; send next_cursor as it came, or none to start anew"
    """
    try:
        sealed = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        if hmac.compare_digest(sealed[:SEAL_BYTES], _seal(sealed[SEAL_BYTES:], secret)):
            shown: list[str] = json.loads(sealed[SEAL_BYTES:])
            return shown
    except ValueError:  # not of base64's letters
        pass
    raise ApiError(422, "cursor: not one that this API gave; send next_cursor as it came, or none", "cursor")


def _seal(packed: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), packed, hashlib.sha256)[:SEAL_BYTES]
