"""Metrics of the contents of answers. `add` takes the numbers of an answer, `flush` sums them up.

They are times by step, scores, confidences, items by kind, and the number of different items shown in a day. Every
process writes its sums into a folder, and a scrape adds up all of them. prometheus_client is not used for them: with
several workers it takes 2 us a value, and it never drops the series of a bundle that is not served any more.
"""

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from recsys.contracts import NEW
from recsys.output import write_text
from serving.api.schemas import Answer

BUNDLES = 4  # number of bundles whose series are kept: those that answered last
CELLS, DAY_HOURS = 1 << 16, 24  # a cell has the hour (since 1970) in which an item with its hash was shown last
SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "recsys_step_seconds": ("Time of an answer by step; `total` is all of it", ("step", "variant", "bundle"), SECONDS),
    "recsys_confidence": (
        "Confidence of the items of answers", ("variant", "bundle"), (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9),
    ),
    "recsys_score": (
        "Score of the items of answers", ("variant", "bundle"),
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
    ),
}  # fmt: skip
PLACES, KINDS, OWN = "recsys_places", "recsys_places_by_kind", "recsys_personalised_places"
ANSWERS, FAILED = "recsys_answers", "recsys_failed_parts"
COUNTERS = {
    ANSWERS: ("Lists by variant and reason of the fallback, `none` without", ("variant", "reason")),
    OWN: ("Items of lists by segment, and whether the user's history chose them", ("segment", "personalised")),
    FAILED: ("Answers computed without a part that failed, by part", ("part",)),
    PLACES: ("Items of answers", ("variant", "segment")),
    KINDS: ("Items of answers that are new items, personalised or a fallback", ("variant", "segment", "kind")),
}
Key = tuple[str, ...]  # the metric, then the values of its labels
Cells = npt.NDArray[np.uint32]


class _New:
    """The numbers since the last flush. values: of the histograms; shown: variant -> ids of the items."""

    def __init__(self) -> None:
        self.bundles, self.counts = dict[str, float](), Counter[Key]()
        self.values, self.shown = defaultdict[Key, list[float]](list), defaultdict[str, set[str]](set)


class AnswerMetrics:
    """The sums of this process. folder: where all workers write their sums; None: there is only one process."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._new, self._adding, self._counting = _New(), Lock(), Lock()
        self._counts: Counter[Key] = Counter()
        self._sums: dict[Key, list[float]] = {}  # for a histogram: the number of values per bucket, then their sum
        self._bundles: dict[str, float] = {}
        self._shown: dict[str, Cells] = {}

    def add(self, answer: Answer) -> None:
        """Take the numbers of an answer; to keep it itself until the flush would cost memory and cache misses."""
        meta, items = answer.meta, answer.items
        variant, bundle, segment = meta.variant, meta.bundle_id, meta.segment
        own = round((meta.personalised_share or 0) * len(items))
        with self._adding:
            values, counts = self._new.values, self._new.counts
            self._new.bundles[bundle] = time.time()
            for step, ms in meta.timings_ms.items():
                values["recsys_step_seconds", step, variant, bundle].append(ms / 1e3)
            values["recsys_score", variant, bundle] += [item.score for item in items]
            values["recsys_confidence", variant, bundle] += [
                item.confidence for item in items if item.confidence is not None
            ]
            counts[ANSWERS, variant, meta.fallback_reason or "none"] += 1
            if meta.personalised_share is not None:
                counts[OWN, segment, "yes"] += own
                counts[OWN, segment, "no"] += len(items) - own
            for part in meta.failed:
                counts[FAILED, part] += 1
            counts[PLACES, variant, segment] += len(items)
            counts[KINDS, variant, segment, "personalised"] += own
            counts[KINDS, variant, segment, "new"] += sum([item.source == NEW for item in items])
            counts[KINDS, variant, segment, "fallback"] += sum([item.fallback for item in items])
            self._new.shown[variant].update([item.item_id for item in items])

    def flush(self) -> None:
        """Sum up the new numbers, and write the sums. Called every second in each worker, and before a scrape."""
        with self._counting:
            with self._adding:
                new, self._new = self._new, _New()
            if new.bundles:
                self._sum_up(new)
                if self._folder is not None:
                    write_text(self._folder / f"answers_{os.getpid()}.json", json.dumps(self._packed()))

    def _sum_up(self, new: _New) -> None:
        self._bundles |= new.bundles
        self._counts.update(new.counts)
        for key, seen in [(key, seen) for key, seen in new.values.items() if seen]:
            limits = HISTOGRAMS[key[0]][2]
            counted = np.bincount(np.searchsorted(limits, seen), minlength=len(limits) + 1)
            before = self._sums.get(key, [0.0] * (len(limits) + 2))
            self._sums[key] = [a + b for a, b in zip(before, [*counted.tolist(), sum(seen)], strict=True)]
        for variant, item_ids in new.shown.items():
            self._cells(variant)[[crc32(item_id.encode()) % CELLS for item_id in item_ids]] = time.time() // 3600
        newest = sorted(self._bundles, key=lambda bundle: self._bundles[bundle])[-BUNDLES:]
        self._bundles = {bundle: self._bundles[bundle] for bundle in newest}
        self._sums = {key: sums for key, sums in self._sums.items() if key[-1] in self._bundles}

    def _cells(self, variant: str) -> Cells:
        if variant not in self._shown:
            if self._folder is None:
                self._shown[variant] = np.zeros(CELLS, dtype=np.uint32)
            else:
                path = self._folder / f"shown_{crc32(variant.encode()):08x}"
                with path.open("ab") as file:
                    os.truncate(file.fileno(), 4 * CELLS)
                self._shown[variant] = np.memmap(path, np.uint32, "r+")
        return self._shown[variant]

    def _packed(self) -> dict[str, Any]:
        return {
            "bundles": self._bundles,
            "counts": [[*key, n] for key, n in self._counts.items()],
            "sums": [[*key, sums] for key, sums in self._sums.items()],
        }

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all processes, as a collector of prometheus_client does."""
        packed = [self._packed()]
        if self._folder is not None:
            packed = [
                json.loads(path.read_text(encoding="utf-8")) for path in sorted(self._folder.glob("answers_*.json"))
            ]
        last: dict[str, float] = {}
        for each in packed:
            last.update({bundle: max(at, last.get(bundle, 0.0)) for bundle, at in each["bundles"].items()})
        newest = set(sorted(last, key=lambda bundle: last[bundle])[-BUNDLES:])
        sums: dict[Key, npt.NDArray[np.float64]] = {}
        counts: Counter[Key] = Counter()
        for each in packed:
            for *key, found in each["sums"]:
                if key[-1] in newest:
                    sums[tuple(key)] = sums.get(tuple(key), np.zeros(len(found))) + found
            for *key, n in each["counts"]:
                counts[tuple(key)] += n
        yield from _families(sums, counts)
        now, coverage = time.time() // 3600, "Different items in the answers of the last 24 hours, about"
        gauge = GaugeMetricFamily("recsys_items_shown", coverage, labels=["variant"])
        for variant in sorted({key[1] for key in counts if key[0] == PLACES}):
            empty = float(np.mean(self._cells(variant) + DAY_HOURS <= now))
            # items share cells by chance; linear counting corrects that (Whang, Vander-Zanden and Taylor 1990)
            gauge.add_metric([variant], float(round(-CELLS * np.log(max(empty, 1 / CELLS)))))
        yield gauge


def _families(sums: dict[Key, npt.NDArray[np.float64]], counts: Counter[Key]) -> Iterable[Metric]:
    for name, (described, labels, limits) in HISTOGRAMS.items():
        histogram = HistogramMetricFamily(name, described, labels=labels)
        for key in sorted(key for key in sums if key[0] == name):
            up_to = np.cumsum(sums[key][:-1]).tolist()
            buckets = list(zip([*map(str, limits), "+Inf"], up_to, strict=True))
            histogram.add_metric(key[1:], buckets, float(sums[key][-1]))
        yield histogram
    for name, (described, labels) in COUNTERS.items():
        counter = CounterMetricFamily(name, described, labels=labels)
        for key in sorted(key for key in counts if key[0] == name):
            counter.add_metric(key[1:], counts[key])
        yield counter
