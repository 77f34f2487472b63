"""Measures how one person, or 300 invented ones, can change a new visitor's list by clicks, in a busy and a quiet shop.

    python -m benchmarks.models.bots BUNDLE    writes benchmarks/results/bots_<data set>.json

The other users like items as often as in the training data. The busy shop has as many of them as the training counts at
its half-life, which is how old the training is; the quiet one has three, after 20 half-lives. The attack is on an item
of middling popularity and on one that nobody has described. A place is that among what `popular` proposes, 1 the first.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import provenance
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.bundle.items import item_upsert
from recsys.contracts import SECONDS_PER_DAY
from recsys.recommend import live_counts
from recsys.recommend.live_counts import SCHEMA, LiveEvents
from recsys.schemas.store_schema import GUEST_PERSON

CROWD = 300
DAY_LIMIT = 1000  # as in serving/settings.py
BORN = "nobody described it"
Event = tuple[str, str, float]  # person, item_id, seconds ago


def main(folder: Path) -> None:
    """Try every attack in both shops, print a line each, write all."""
    loaded, origin = bundle.load(folder), provenance.describe()
    born = item_upsert.upsert(loaded, pl.DataFrame([{"item_id": BORN}], schema=item_upsert.COLUMNS))
    middling = loaded.catalogue.ids.external_id(int(np.argsort(-loaded.catalogue.recent)[len(loaded.catalogue) // 4]))
    lines, now = [], loaded.manifest.trained_until.timestamp()
    shops = {"busy": (1, max(int(loaded.catalogue.recent.sum()), CROWD)), "quiet": (20, 3)}
    for shop, (age, people) in shops.items():
        trained = loaded.manifest.trained_until - timedelta(days=age * loaded.manifest.recent_half_life_days)
        served = replace(born, manifest=loaded.manifest.model_copy(update={"trained_until": trained}))
        honest = likes_of(served, people)
        for target in (middling, BORN):
            before = place(served, now, honest, target)
            for name, attack in attacks(target).items():
                after = place(served, now, honest + attack, target)
                kind = "born" if target == BORN else "middling"
                lines.append({"shop": shop, "item": kind, "attack": name, "place": before, "after": after})
                print(f"{shop}, {kind} item, {name}: place {before} -> {after}", flush=True)
    provenance.write(f"bots_{loaded.manifest.dataset}", origin, {"attacks": lines})


def likes_of(served: Bundle, n: int) -> list[Event]:
    """People of their own, each likes one item."""
    draw, recent = np.random.default_rng(7), served.catalogue.recent.astype(np.float64)
    rows = draw.choice(len(recent), n, p=recent / recent.sum())
    ages = draw.uniform(1, served.manifest.recent_half_life_days * SECONDS_PER_DAY, n)
    ids = served.catalogue.ids.external_id
    return [(f"u:honest-{at}", ids(int(row)), float(age)) for at, (row, age) in enumerate(zip(rows, ages, strict=True))]


def attacks(target: str) -> dict[str, list[Event]]:
    """What clicks alone can do; guests view another item too, or they count for nothing."""

    def crowd(kind: str, ago: Callable[[int], float], *others: str) -> list[Event]:
        return [(f"{kind}bot-{n}", item, ago(n)) for n in range(CROWD) for item in (target, *others)]

    return {
        "one person, one click": [("u:bot", target, 5.0)],
        "one person, 900 clicks": [("u:bot", target, 5.0 + n / 1e3) for n in range(900)],
        "one person, 2,000 clicks in a day": [("u:bot", target, 5.0 + n / 1e3) for n in range(2000)],
        "300 guests in one request, one item": crowd(GUEST_PERSON, lambda n: 5.0 + n / 1e6),
        "300 guests in one request, two items": crowd(GUEST_PERSON, lambda n: 5.0 + n / 1e6, "another"),
        "300 guests one by one, two items": crowd(GUEST_PERSON, lambda n: 5.0 + n, "another"),
        "300 users of one key one by one": crowd("u:", lambda n: 5.0 + n),
    }


def place(served: Bundle, now: float, events: list[Event], target: str) -> int | None:
    """Where `popular` puts the item, None where it does not propose it."""
    rows = [(str(at), who, item, True, now - ago, now - ago) for at, (who, item, ago) in enumerate(events)]
    taken = LiveEvents(1_000_000, DAY_LIMIT)
    taken.add(pl.DataFrame(rows, schema=SCHEMA, orient="row"))
    likes = taken.likes(served.manifest.trained_until.timestamp(), now)
    counts = live_counts.count(likes, served, now, served.catalogue.ids.position)
    found = np.flatnonzero(counts.popular.rows == served.catalogue.ids.position(target))
    return int(found[0]) + 1 if len(found) else None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
