"""Shares the state of the releases between hosts through the channel; files stay in the folder of whoever promotes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.bundle import releases
from recsys.output import write_text
from recsys.schemas import channel


@contextmanager
def shared(folder: Path, store: str, why: str = "") -> Iterator[None]:
    """Bring the folder's state to that of the channel, run the block, and give all hosts the state that it leaves.

    Does nothing without RECSYS_CHANNEL=store. If the channel cannot be written, no host has the change, and the next
    call takes it back in the folder.

    Raises:
        SourceUnreachableError, ParamsError: see `channel.put`.
    """
    if not channel.enabled():
        yield
        return
    path, before = folder / releases.STATE, channel.newest(store, "releases")
    if before is not None and (not path.is_file() or path.read_text(encoding="utf-8") != before.body):
        write_text(path, before.body, durable=True)
    yield
    state = releases.read(folder)
    text = path.read_text(encoding="utf-8") if state.stack else ""
    if text and (before is None or text != before.body):
        channel.put(store, "releases", text, why, before.number if before else 0, state.stack[-1])
