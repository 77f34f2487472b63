"""Asking a recommender over the hand-made bundle, and what to look at in its answers."""

from typing import Any

from recsys.bundle.bundle import Bundle
from recsys.contracts import Query
from recsys.recommend.recommender import Slate
from tests.support import bundles


def query(shop: Bundle, user_id: str, k: int = 5, **more: Any) -> Query:
    """What a user asks at the end of the data."""
    return Query(shop.histories.of(user_id), k, bundles.NOW.timestamp(), user_id, **more)


def sources_of(answer: Slate) -> set[str]:
    """Who filled the places."""
    return {slot.source for slot in answer.slots}


def rows_of(answer: Slate) -> set[int]:
    """The items shown."""
    return {slot.row for slot in answer.slots}
