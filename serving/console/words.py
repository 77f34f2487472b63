"""The API's terms in plain words, for people who do not know the code."""

from serving.api.schemas import Item, Reason

FALLBACK = {
    "no_history": "nothing is known of this person yet",
    "history_unknown_to_models": "no model knows the items of this history",
    "item_unknown_to_models": "no model knows this item",
    "too_few_candidates": "there were too few candidates",
    "low_confidence": "the best own item was too unlikely to be wanted",
    "deadline": "the time for an answer was over",
    "part_failed": "a part failed",
    "shed": "there was too much to do",
}
SEGMENTS = {
    "cold_user": "nothing known",
    "few": "little known",
    "warm": "enough known",
    "all": "all users",
    "dormant": "long away",
    "cold_item": "wants items nobody knew",
    "cold_item_only": "wants only items nobody knew",
    "known_item": "wants items that were known",
}
SOURCES = {
    "popular": "popular now",
    "new": "new in the shop",
    "pin": "pinned by a rule",
    "random": "drawn at random",
    "repeat": "time to buy it again",
    "static": "shown when all else fails",
    "exploration": "an experiment tries it",
    "live_covisit": "others in the shop go on to it right now",
}
EVENTS = {
    "view": "View",
    "click": "Click",
    "cart": "Cart",
    "purchase": "Buy",
    "dislike": "Not for me",
    "return": "Give back",
}
TASTE = ("_score", "_rank", "_nearest", "_likeness", "_times_recent")


def why(item: Item) -> str:
    """Say in one sentence what brought an item up: the parts of its history first, else the strongest other part."""
    reasons = [reason for reason in item.reasons if reason.contribution > 0]
    titles = [reason.title for reason in reasons if reason.kind == "history" and reason.title][:2]
    if titles:
        return f"because of {' and '.join(titles)}"
    kinds = [part(reason) for reason in reasons if reason.feature != "base" and reason.kind != "others"]
    return kinds[0] if kinds else SOURCES.get(item.source, f"from the source {item.source}")


def part(reason: Reason) -> str:
    """Name one reason of an item."""
    if reason.kind == "history":
        return reason.title or reason.item_id or "an item of the history"
    if reason.kind != "feature" or reason.feature is None:
        return SOURCES.get(reason.kind, reason.kind)
    if reason.feature.startswith(("recent", "demand")):
        return "in demand now"
    if reason.feature.startswith("repeat"):
        return SOURCES["repeat"]
    for ending in TASTE:
        if reason.feature.endswith(ending):
            return f"fits the taste, says {reason.feature.removesuffix(ending)}"
    return {"base": "where every item starts", "age_days": "how new it is", "liked": "how much is known",
            "idle_days": "how long the user was away"}.get(reason.feature, reason.feature)  # fmt: skip
