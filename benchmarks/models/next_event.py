"""The next event of the test window, asked at its moment: live lists against those of the bundle as it was trained.

    python -m benchmarks.models.next_event WORKSPACE [EVENTS]    where `dvc repro rank` has run; writes
                                                          benchmarks/results/next_event_<data set>.json

Every variant is asked with the settings of the workspace, as it would be released, once without and once with live
counts, which are at most a minute old. No setting is chosen on this window.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import BoolArray
from recsys.data import split as splits
from recsys.data.split import Split
from recsys.evaluation import fold_bundle, metrics, next_event
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.next_event import LIVE, NextEvents
from recsys.params import Params
from recsys.recommend.recommender import Recommender

EVENTS = 2000
REFRESH_S = 60.0
HOURS = (0.0, 1.0, 6.0, 24.0, 48.0, 168.0)  # limits of the age of the bundle, in hours


def main(workspace: Path, events: int = EVENTS) -> None:
    """Replay the test window, print and write."""
    settings, split = params.load(workspace / "params.yaml"), splits.load(workspace / "data/split")
    origin, began = provenance.describe(), perf_counter()
    with bundle_of(workspace, settings, split) as loaded:
        recommenders = {name: Recommender(loaded, name) for name in settings.variants if name != "random"}
        table = by_hours(next_event.replay(recommenders, split, "test", events, REFRESH_S, settings.seed))
    lines = [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in line.items()}
        for line in table.iter_rows(named=True)
    ]
    total = {str(line["variant"]): float(line["ndcg"]) for line in lines if line["from_hours"] is None}
    frozen, live = (
        max((name for name in total if name.endswith(LIVE) == kind), key=total.__getitem__) for kind in (False, True)
    )
    ratio = round(total[live] / max(total[frozen], 1e-9), 2)
    found = {
        "half_life_days": settings.data.recent_half_life_days,
        "seconds": round(perf_counter() - began, 1),
        "best": {"frozen": frozen, "live": live, "ratio": ratio},
        "test": lines,
    }
    provenance.write(f"next_event_{settings.dataset}", origin, found)
    print(f"{live} {total[live]:.4f}, {frozen} {total[frozen]:.4f}: {ratio} times")


def by_hours(found: NextEvents, hours: Sequence[float] = HOURS) -> pl.DataFrame:
    """A row for all events (from_hours null) and one per range of hours since the training.

    Columns: from_hours, variant, events (their number), born (share of new items), ndcg, hit_rate.
    """
    parts: dict[float | None, BoolArray] = {None: np.ones(len(found.hours), dtype=np.bool_)}
    for begin, end in zip(hours, (*hours[1:], np.inf), strict=True):
        parts[begin] = (found.hours >= begin) & (found.hours < end)
    lines = []
    for since, chosen in parts.items():
        targets, n = found.targets[chosen], np.ones(int(chosen.sum()), dtype=np.int64)
        if not len(n):
            continue
        for name, lists in found.lists.items():
            hits = metrics.hits(lists[chosen], Ragged(np.arange(len(n) + 1), targets))
            ndcg, hit_rate = metrics.ndcg(hits, n).mean(), metrics.hit_rate(hits, n).mean()
            lines.append((since, name, len(n), found.born[chosen].mean(), ndcg, hit_rate))
    return pl.DataFrame(lines, schema=["from_hours", "variant", "events", "born", "ndcg", "hit_rate"], orient="row")


@contextmanager
def bundle_of(workspace: Path, settings: Params, split: Split) -> Iterator[Bundle]:
    """The bundle that is scored on the test window."""
    models, indexes, rankers = (workspace / name / "test" for name in ("models", "indexes", "rankers"))
    made = fold_bundle.parts(split, "test", models, indexes, settings, rankers=rankers)
    with tempfile.TemporaryDirectory() as folder:
        bundle.write(made, settings, {}, Path(folder) / "bundle")
        yield bundle.load(Path(folder) / "bundle")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
