"""Replay and explain a recorded answer: `python -m serving.why REQUEST_ID`, which `recsys why REQUEST_ID` runs."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from recsys.errors import RecsysError, reports_errors
from serving.api.schemas import Item
from serving.recorder.replay import Replay, Replays
from serving.settings import Settings
from serving.stores import open_store

REASONS = 3  # printed per item
WIDTH = 40


@reports_errors
def main(
    request_id: Annotated[str, typer.Argument(help="the request_id of an answer, from its body or the log")],
) -> None:
    """Replay a recorded answer, and print where each item came from. Exit code 1: impossible, or the items differ."""
    found = asyncio.run(_replayed(request_id, Settings.from_environment()))
    if found.unavailable is not None and not found.recorded:
        raise RecsysError(f"{request_id}: {found.unavailable}")
    moment = datetime.fromtimestamp(found.at, UTC)
    print(
        f"{moment:%Y-%m-%d %H:%M:%S} UTC  {found.user or 'nobody'}  variant {found.variant}  bundle {found.bundle_id}"
    )
    if found.unavailable is not None:
        raise RecsysError(f"cannot be replayed: {found.unavailable}; the items were {', '.join(found.recorded)}")
    for item in found.replayed:
        print(line(item))
    if found.identical:
        print(f"the replay has the same {len(found.recorded)} items in the same places as the answer had")
    else:
        raise RecsysError(
            "the list above differs from the recorded one, so its reasons may not apply to the answer; "
            f"the answer was: {', '.join(found.recorded)}"
        )


def line(item: Item) -> str:
    """Return the line to print for an item: rank, id, title, source, score, confidence, and the largest reasons."""
    confidence = "-" if item.confidence is None else f"{item.confidence:.3f}"
    reasons = [f"{each.title or each.feature or each.kind} {each.contribution:+.3f}" for each in item.reasons[:REASONS]]
    boost = f"  boost {item.boost:g}" if item.boost != 1 else ""
    start = f"{item.rank:>3}  {item.item_id:<16} {item.title:<{WIDTH}.{WIDTH}} {item.source:<10}"
    return f"{start} score {item.score:.4f}  confidence {confidence}{boost}  {', '.join(reasons)}".rstrip()


async def _replayed(request_id: str, settings: Settings) -> Replay:
    store = await open_store(settings.store_url)
    try:
        return await Replays(store, settings).replay(request_id)
    finally:
        await store.close()


if __name__ == "__main__":
    typer.run(main)
