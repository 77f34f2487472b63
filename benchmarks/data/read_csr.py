"""From 5 million events in Parquet, with ids of text, to a CSR matrix: benchmarks/results/read_csr.json

    python -m benchmarks.data.read_csr               5 million events, 5 rounds
    python -m benchmarks.data.read_csr 100000        another size

Three ways take turns, and their matrices are checked to be equal: `recsys.data.numbering.numbered`, which numbers ids
as the split stage does; pandas; and polars with `rank("dense")`, the obvious way in polars and a slow one.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import polars as pl
from scipy.sparse import csr_matrix

from benchmarks import provenance
from recsys.data.numbering import numbered

ROUNDS = 5


def write_events(path: Path, n: int) -> None:
    """Events of n / 33 users with n / 250 items, popular ones much more often than others, in order of time."""
    draw = np.random.default_rng(7)
    users, items = (draw.random(n) ** 2 * (n // 33)).astype(int), (draw.random(n) ** 3 * (n // 250)).astype(int)
    events = pl.DataFrame({"user": users, "item": items, "weight": draw.choice([1.0, 3.0, 5.0], n).astype(np.float32)})
    user_id, item_id = pl.format("user-{}", "user").alias("user_id"), pl.format("item-{}", "item").alias("item_id")
    events.select(user_id, item_id, "weight").write_parquet(path)


def ours(path: Path) -> csr_matrix:
    """`recsys.data.numbering.numbered`."""
    events = pl.scan_parquet(path).select("user_id", "item_id", "weight")
    frame, (user_ids, item_ids) = numbered(events, "user_id", "item_id")
    users, items, weights = (frame[name].to_numpy() for name in ("user_id", "item_id", "weight"))
    return csr_matrix((weights, (users, items)), shape=(len(user_ids), len(item_ids)))


def with_pandas(path: Path) -> csr_matrix:
    """`pandas.factorize`, sorted, so that equal files give equal matrices."""
    events = pd.read_parquet(path)
    users, user_ids = pd.factorize(events["user_id"], sort=True)
    items, item_ids = pd.factorize(events["item_id"], sort=True)
    return csr_matrix((events["weight"], (users, items)), shape=(len(user_ids), len(item_ids)))


def with_rank(path: Path) -> csr_matrix:
    """polars, `rank("dense")`."""
    rank = pl.col("user_id", "item_id").rank("dense").cast(pl.Int32) - 1
    events = pl.scan_parquet(path).select(rank, "weight").collect()
    users, items = events["user_id"].to_numpy(), events["item_id"].to_numpy()
    return csr_matrix((events["weight"], (users, items)), shape=(int(users.max()) + 1, int(items.max()) + 1))


WAYS: dict[str, Callable[[Path], csr_matrix]] = {"recsys": ours, "pandas": with_pandas, "polars_rank": with_rank}


def main(n: int, turns: int = ROUNDS) -> None:
    """Let the ways take turns and write the results."""
    origin = provenance.describe()
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        write_events(path, n)
        for _ in range(turns):
            matrices = []
            for name, way in WAYS.items():
                begun = time.perf_counter()
                matrices.append(way(path))
                seconds[name].append(round(time.perf_counter() - begun, 3))
            if any((matrices[0] != other).nnz for other in matrices[1:]):
                raise SystemExit("the ways disagree: nothing measured")
    typical = {name: median(rounds) for name, rounds in seconds.items()}
    faster = {name: round(typical[name] / typical["recsys"], 2) for name in ("pandas", "polars_rank")}
    versions = {"pandas": pd.__version__, "parquet_engine": pd.io.parquet.get_engine("auto").__class__.__name__}
    figures = {"events": n, "seconds": seconds, "median": typical, "times_faster": faster}
    provenance.write("read_csr", origin, {**versions, **figures})
    print(f"{n:,} events: {typical}; faster by {faster}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000)
