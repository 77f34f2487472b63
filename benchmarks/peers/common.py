"""What every peer's script shares; numpy only, because it runs in the peers' own environments.

    python <peer>.py DATA OUT     DATA: what `benchmarks.peers` exported    OUT: gets <name>.npy and <name>.json

A peer is tuned as we tune: every setting of its grid is fitted on the validation window's past, the best NDCG@10 there
is fitted again on the test window's past and asked for the test users' lists. Nothing of the test window is looked at.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

K = 20


@dataclass(frozen=True)
class Fold:
    """users, items, weights, times: (n_events,) the fit set, weight > 0, UTC seconds; asked: (m,) users; targets: their
    rows; with allow_repeat the lists may hold what was seen.
    """

    users: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    asked: np.ndarray
    targets: list[set[int]]
    seen: list[set[int]]
    n_users: int
    n_items: int
    allow_repeat: bool

    @cached_property
    def k(self) -> int:
        """How long a list has to be to have K items left when what was seen but not liked is taken out."""
        liked = [set[int]() for _ in range(self.n_users)]
        for user, item in zip(self.users.tolist(), self.items.tolist(), strict=True):
            liked[user].add(item)
        asked = zip(self.asked.tolist(), self.seen, strict=True)
        return K if self.allow_repeat else K + max(len(items - liked[user]) for user, items in asked)


Lists = Callable[[Fold, dict[str, Any]], np.ndarray]


def read(folder: Path, fold: str) -> Fold:
    """Read one fold of the export."""
    arrays = np.load(folder / f"{fold}.npz", allow_pickle=False)
    targets, seen = (
        [set(part.tolist()) for part in np.split(arrays[f"{name}_rows"], arrays[f"{name}_starts"][1:-1])]
        for name in ("target", "seen")
    )
    n_users, n_items = arrays["shape"].tolist()
    events = (arrays["users"], arrays["items"], arrays["weights"], arrays["times"])
    return Fold(*events, arrays["asked"], targets, seen, n_users, n_items, bool(arrays["allow_repeat"]))


def unseen(lists: np.ndarray, fold: Fold) -> np.ndarray:
    """The first K items of each list that are not in the user's history, liked or not: what our lists leave out too."""
    if fold.allow_repeat:
        return lists[:, :K].astype(np.int32)
    rows = np.full((len(lists), K), -1, dtype=np.int32)
    for place, (row, seen) in enumerate(zip(lists.tolist(), fold.seen, strict=True)):
        left = [item for item in row if item >= 0 and item not in seen][:K]
        rows[place, : len(left)] = left
    return rows


def ndcg(lists: np.ndarray, targets: list[set[int]], k: int = 10) -> float:
    """Mean NDCG@k; only to choose a setting, the table is made by the project's own metrics."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    total = 0.0
    for row, wanted in zip(lists[:, :k].tolist(), targets, strict=True):
        gain = sum(discount for item, discount in zip(row, discounts, strict=True) if item in wanted)
        total += gain / discounts[: min(k, len(wanted))].sum()
    return total / len(targets)


def top(scores: np.ndarray, fold: Fold, asked: np.ndarray) -> np.ndarray:
    """The best items of each row of scores (m, n_items) that are not in the fit set; overwrites scores."""
    k = min(fold.k, scores.shape[1] - 1)
    if not fold.allow_repeat:
        place = np.full(fold.n_users, -1)
        place[asked] = np.arange(len(asked))
        mine = place[fold.users] >= 0
        scores[place[fold.users[mine]], fold.items[mine]] = -np.inf
    best = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1).astype(np.int32)


def tune_and_run(name: str, lists: Lists, grid: Iterable[dict[str, Any]]) -> None:
    """Choose on `valid`, answer on `test`, write both."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    valid, test = read(data, "valid"), read(data, "test")
    trials: list[dict[str, Any]] = []
    for setting in grid:
        score = ndcg(unseen(lists(valid, setting), valid), valid.targets)
        trials.append({"setting": setting, "valid_ndcg@10": score})
        print(f"{name} {setting} {score:.4f}", file=sys.stderr, flush=True)
    best = max(trials, key=lambda trial: trial["valid_ndcg@10"])
    started = time.perf_counter()
    rows = unseen(lists(test, best["setting"]), test)
    seconds = time.perf_counter() - started
    np.save(out / f"{name}.npy", rows)
    (out / f"{name}.json").write_text(json.dumps({**best, "fit_and_ask_seconds": seconds, "trials": trials}, indent=1))
