"""Data sets that are as small or as odd as they may be; each must end in a bundle."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

Event = tuple[int, int, datetime]  # user, item, time

START = datetime(2024, 1, 1, tzinfo=UTC)
USERS, ITEMS, DAYS = 50, 20, 60


def fifty_users() -> list[Event]:
    """Ten purchases each over two months, by two tastes."""
    rng = np.random.default_rng(1)
    return [
        (user, int(rng.integers(ITEMS // 2)) * 2 + user % 2, START + timedelta(days=float(rng.random() * DAYS)))
        for user in range(USERS)
        for _ in range(10)
    ]


def one_item_for_all() -> list[Event]:
    """Everybody buys item 0, and hardly anything else."""
    rng = np.random.default_rng(2)
    everybody = [(user, 0, START + timedelta(days=float(rng.random() * DAYS))) for user in range(USERS)]
    return everybody + [(user, 1 + user % 3, START + timedelta(days=user)) for user in range(0, USERS, 5)]


def all_cold() -> list[Event]:
    """Nobody comes twice, and items come one by one."""
    return [(user, user // 3, START + timedelta(hours=12 * user)) for user in range(2 * USERS)]


def no_times() -> list[Event]:
    """An export without times: all at one moment."""
    return [(user, item, START) for user, item, _ in fifty_users()]


def one_day() -> list[Event]:
    """Everything within a day."""
    return [(user, item, START + (time - START) / DAYS) for user, item, time in fifty_users()]


def rated_low() -> str:
    """Twelve films of 60 that a user likes, by two tastes, and four of 20 that all rate low, as a file with ratings."""
    rng = np.random.default_rng(3)
    lines = ["user_id,item_id,timestamp,value"]
    for user in range(USERS):
        liked, low = rng.permutation(30)[:12] * 2 + user % 2, 60 + rng.permutation(20)[:4]
        rated = [(item, 5) for item in liked] + [(item, 1) for item in low]
        hours = np.sort(rng.random(len(rated)))
        for hour, at in zip(hours, rng.permutation(len(rated)), strict=True):
            item, value = rated[at]
            lines.append(f"u{user},i{item},{(START + timedelta(days=user, hours=hour)).isoformat()},{value}")
    return "\n".join(lines) + "\n"


SHOPS: dict[str, Callable[[], list[Event]]] = {
    shop.__name__: shop for shop in (fifty_users, one_item_for_all, all_cold, no_times, one_day)
}


def csv(events: list[Event]) -> str:
    """As a file of the data set `files`."""
    lines = [f"u{user},i{item},{time.isoformat()}" for user, item, time in events]
    return "\n".join(["user_id,item_id,timestamp", *lines]) + "\n"


SETTINGS = {
    "datasets.files": {
        "adapter": {"interactions": {"path": "tiny.csv", "event": "purchase"}},
        "event_weights": {"purchase": 1.0},
        "thresholds": {
            **dict.fromkeys(("min_interactions", "min_users", "min_items"), 1),
            **dict.fromkeys(("max_rejected_share", "max_duplicate_share", "max_orphan_share"), 1.0),
        },
        "split": {"protocol": "global_time", "valid_share": 0.1, "test_share": 0.2, "target_events": ["purchase"]},
    }
}
