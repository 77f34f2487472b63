"""What is liked now: events of the store since the bundle was made, those of one half-life ago counted half."""

from collections.abc import Mapping

from recsys.bundle.bundle import Bundle
from serving.stores.protocol import Store

STEPS = (0.25, 0.5, 1.0, 2.0, 4.0)  # ages in half-lives; what is older counts for nothing
SECONDS_PER_DAY = 86_400.0


async def likes(store: Store, bundle: Bundle, weights: Mapping[str, float], now: float) -> dict[str, float]:
    """item_id -> events of positive weight, each counted 0.5 ** (age / half-life) with its age in steps.

    To be added to `Catalogue.recent`, whose own counts stand as they were at the end of the data: they do not fade by
    the age of the bundle.

    Raises:
        StoreError: the store cannot be asked.
    """
    manifest = bundle.manifest
    half_life = manifest.recent_half_life_days * SECONDS_PER_DAY
    until = manifest.trained_until.timestamp()
    found: dict[str, float] = {}
    younger: dict[str, int] = {}
    start = 0.0
    for end in STEPS:
        since = max(now - end * half_life, until)
        older = _liked(await store.recent(since), weights)
        factor = 0.5 ** ((start + end) / 2)
        for item_id, count in older.items():
            if more := count - younger.get(item_id, 0):
                found[item_id] = found.get(item_id, 0.0) + more * factor
        younger, start = older, end
        if since == until:
            break
    return found


def _liked(counts: Mapping[str, Mapping[str, int]], weights: Mapping[str, float]) -> dict[str, int]:
    liked = {
        item_id: sum(n for event, n in events.items() if weights.get(event, 0.0) > 0)
        for item_id, events in counts.items()
    }
    return {item_id: n for item_id, n in liked.items() if n}
