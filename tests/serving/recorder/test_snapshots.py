"""Shared inputs of answers are written once, and held in memory no longer than needed."""

import asyncio
from collections import Counter
from typing import Any, cast

from serving.recorder.snapshots import LIVE, OFFERED, RULES, Snapshots
from serving.stores.protocol import Exposure
from serving.stores.store import Store


class Written(Counter[str]):
    """A store that counts what is written, by text."""

    async def execute(self, statement: str, *values: Any) -> None:
        *_, text = values
        self[text] += 1


def exposed(**replay: str) -> Exposure:
    return cast("Exposure", type("Shown", (), {"replay": {"live": "", "born": "", "rules": "", **replay}}))


def test_live_counts_are_let_go_once_they_are_written() -> None:
    snapshots, store, packed = Snapshots(), Written(), Counter[str]()

    def offer(kind: str, version: str) -> None:
        snapshots.offer(kind, version, lambda: packed.update([version]) or version)

    def write(**replay: str) -> None:
        asyncio.run(snapshots.write(cast("Store", store), [exposed(**replay)]))

    offer(RULES, "r")
    for number in range(2 * OFFERED):
        offer(LIVE, f"v{number}")
        write(live=f"v{number}", rules="r")
    assert set(store.values()) == {1}
    assert len(store) == 2 * OFFERED + 1
    assert not snapshots._offered[LIVE]
    assert list(snapshots._offered[RULES]) == ["r"], "an hour later it is written again"
    for number in range(2 * OFFERED):  # the store is away, and nothing is written
        offer(LIVE, f"w{number}")
    assert len(snapshots._offered[LIVE]) == OFFERED
    write(live=f"w{2 * OFFERED - 1}")
    assert packed[f"w{2 * OFFERED - 1}"] == 1
