"""Maps external ids to positions and back, in four memory-mapped arrays that all workers of a machine share.

hashes.npy (n,) uint64 ascending     positions.npy (n,) int32, the position of the id with each hash
offsets.npy (n + 1,) int64           text.npy (n_bytes,) uint8, all ids in position order, UTF-8
"""

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from recsys.contracts import IntArray
from recsys.output import read_array


def write(ids: Iterable[str], folder: Path) -> None:
    """Write the table of `ids` into a folder. ids: unique, the first has the position 0."""
    encoded = [item.encode() for item in ids]
    folder.mkdir(parents=True, exist_ok=True)
    hashes = np.fromiter((_hash(text) for text in encoded), dtype=np.uint64, count=len(encoded))
    order = np.argsort(hashes, kind="stable")
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    np.save(folder / "hashes.npy", hashes[order])
    np.save(folder / "positions.npy", order.astype(np.int32))
    np.save(folder / "offsets.npy", offsets)
    np.save(folder / "text.npy", np.frombuffer(b"".join(encoded), dtype=np.uint8))


class IdTable:
    """Looks up the position of an id and the id at a position; opening it reads only the headers of the arrays."""

    def __init__(self, folder: Path) -> None:
        self._hashes = read_array(folder / "hashes.npy")
        self._positions = read_array(folder / "positions.npy")
        self._offsets = read_array(folder / "offsets.npy")
        self._text = read_array(folder / "text.npy")

    def __len__(self) -> int:
        return len(self._hashes)

    def position(self, external_id: str) -> int | None:
        """Return the position of an id, or None if the table does not contain it."""
        text = external_id.encode()
        wanted = np.uint64(_hash(text))
        at = int(self._hashes.searchsorted(wanted))
        while at < len(self._hashes) and self._hashes[at] == wanted:
            position = int(self._positions[at])
            if self._bytes(position) == text:
                return position
            at += 1
        return None

    def positions(self, external_ids: Iterable[str]) -> IntArray:
        """Return the positions of these ids in the same order, (m,) int32; ids that the table lacks are left out."""
        found = (self.position(external_id) for external_id in external_ids)
        return np.fromiter((position for position in found if position is not None), dtype=np.int32)

    def external_id(self, position: int) -> str:
        return self._bytes(position).decode()

    def shard(self, number: int, of: int) -> IntArray:
        """Return the positions, (m,) int32 ascending, of part `number` of 1 to `of`: by the hash of an id alone."""
        return np.sort(self._positions[self._hashes % np.uint64(of) == number - 1])

    def finds_all(self) -> bool:
        """Return whether every id of the table can be looked up by its hash; reads the whole table."""
        text = self._text.tobytes()
        hashes = (_hash(text[begin:end]) for begin, end in pairwise(self._offsets.tolist()))
        every = np.fromiter(hashes, dtype=np.uint64, count=len(self))
        return np.array_equal(every[self._positions], self._hashes)

    def holds(self, ids: pl.Series) -> bool:
        """Return whether the table contains exactly these ids, in this order."""
        lengths = ids.str.len_bytes().to_numpy()
        return np.array_equal(np.diff(self._offsets), lengths) and self._text.tobytes() == "".join(ids).encode()

    def _bytes(self, position: int) -> bytes:
        return bytes(self._text[self._offsets[position] : self._offsets[position + 1]])


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
