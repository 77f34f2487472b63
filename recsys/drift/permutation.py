"""Tests by permutation which features of the answers in one period differ from those in other periods.

A threshold on a distance alone, such as PSI > 0.2, gives false alarms where answers are few and misses a shift where
they are many. Here the distance is compared with its own distribution under the hypothesis that nothing changed. The
answers of one person are correlated, so whole persons are permuted between periods, with all their features together.

Source: Pesarin, Salmaso, "Permutation Tests for Complex Data", 2010; Benjamini, Hochberg, "Controlling the False
Discovery Rate", JRSS B 1995.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

FIRST = 199  # permutations of every comparison; most comparisons stop after these
PROMISING = 0.02  # more permutations follow if a p-value is at most this
CHUNK = 400
GROUPS = 500


@dataclass(frozen=True)
class FeatureShift:
    """The result of one feature. p: p-value; alarm: whether p is significant after correction for all features.

    moved: total variation distance of both periods, 0 to 1: the share of the counts in other bins than before, less the
    mean distance of permuted periods, which is large where answers are few.
    """

    feature: str
    p: float
    moved: float
    alarm: bool


def compare(
    counts: Mapping[str, Counts],
    person: Ints,
    time: Ints,
    level: float = 0.01,
    permutations: int = 2_999,
    seed: int = 0,
) -> list[FeatureShift]:
    """Compare the last period with all earlier ones. If nothing changed, some feature alarms with probability `level`.

    counts: feature -> (n, n_bins) counts, one row for each person and period; time: (n,) the period of each row, 0, 1,
    ..., all of equal duration; person: (n,) the person of each row, numbered from 0. If every row is of another person,
    they may all be -1; there are then two periods, whose durations may differ. permutations: the least number; there
    are more where the level requires a smaller p.
    """
    features, rows = list(counts), np.hstack([counts[name] for name in counts])
    ends, n_times = np.cumsum([counts[name].shape[1] for name in features]), int(time.max()) + 1
    unknown = bool(len(person)) and int(person.max()) < 0
    rows, group, time = _grouped(rows, person, time, n_times, unknown)
    total, share = rows.sum(axis=0), float((time == n_times - 1).mean())
    now = (time == n_times - 1).astype(np.float32) @ rows
    observed = _distances(now[None], total, ends)[0] * (1 - 1e-6)
    rng, greater, done = np.random.default_rng(seed), np.zeros(len(features)), 0
    permutations = max(permutations, ceil(len(features) / level))  # else one feature alone could not be significant
    moved, by_chance = _moved(now[None], total, ends)[0], np.zeros(len(features))
    while done < permutations:
        n = min(CHUNK if done else FIRST, permutations - done)
        if unknown:
            chosen = rng.random((n, len(rows))) < share
        else:
            chosen = rng.integers(0, n_times, (n, GROUPS))[:, group] == time  # the last period of this draw
        drawn = chosen.astype(np.float32) @ rows
        if not done:
            by_chance = _moved(drawn, total, ends).mean(axis=0)
        greater += (_distances(drawn, total, ends) >= observed).sum(axis=0)
        done += n
        if done == FIRST and greater.min() + 1 > PROMISING * (done + 1):
            break
    p = (1 + greater) / (1 + done)
    alarms, beyond = significant(p, level), np.maximum(moved - by_chance, 0.0)
    return [
        FeatureShift(name, round(float(p[at]), 6), round(float(beyond[at]), 4), bool(alarms[at]))
        for at, name in enumerate(features)
    ]


def _grouped(rows: Counts, person: Ints, time: Ints, n_times: int, unknown: bool) -> tuple[Counts, Ints, Ints]:
    """Sum the rows of groups of persons, which are permuted together: the test stays exact with fewer rows."""
    if unknown:  # groups of equal size on both sides
        size = -(-len(rows) // GROUPS)
        place = np.concatenate([np.arange(n) // size for n in np.bincount(time, minlength=n_times)])
        key = np.sort(time, kind="stable") * GROUPS + place
        rows = rows[np.argsort(time, kind="stable")]
    else:
        key = time * GROUPS + person % GROUPS
    keys, at = np.unique(key, return_inverse=True)
    added = np.zeros((len(keys), rows.shape[1]), dtype=np.float32)
    np.add.at(added, at, rows)
    return added, keys % GROUPS, keys // GROUPS


def significant(p: npt.NDArray[np.float64], level: float) -> npt.NDArray[np.bool_]:
    """Return the hypotheses that Benjamini and Hochberg's procedure rejects at this level.

    >>> significant(np.array([0.04, 0.001, 0.5]), 0.05).tolist()
    [False, True, False]
    """
    order = np.sort(p)
    below = order <= level * np.arange(1, len(p) + 1) / len(p)
    return np.asarray(p <= (order[below].max() if below.any() else -1.0))


def _distances(now: Counts, total: Counts, ends: Ints) -> npt.NDArray[np.float64]:
    """Return (n_draws, n_features): chi-square statistic of the bins in one period against those of all periods.

    now: (n_draws, n_columns) counts in the period; total: (n_columns,) of all periods; ends: end column of each
    feature. Draws have different n of N counts in the period; the factor n / (1 - n / N) makes them comparable.
    """
    starts, widths = np.concatenate([[0], ends[:-1]]), np.diff(ends, prepend=0)
    of_all = np.maximum(np.add.reduceat(total, starts), 1e-9)
    of_now = np.maximum(np.add.reduceat(now, starts, axis=1), 1e-9)
    expected = np.maximum(total / np.repeat(of_all, widths), 1e-9)
    squares = (now / np.repeat(of_now, widths, axis=1) - expected) ** 2 / expected
    factor = of_now / np.maximum(1 - of_now / of_all, 1e-9)
    return np.asarray(np.add.reduceat(squares, starts, axis=1) * factor, dtype=np.float64)


def _moved(now: Counts, total: Counts, ends: Ints) -> npt.NDArray[np.float64]:
    """Return (n_draws, n_features): total variation distance between one period and the others; see `_distances`."""
    starts, widths = np.concatenate([[0], ends[:-1]]), np.diff(ends, prepend=0)
    shares = [
        part / np.repeat(np.maximum(np.add.reduceat(part, starts, axis=1), 1e-9), widths, axis=1)
        for part in (now, total - now)
    ]
    return np.asarray(np.add.reduceat(np.abs(shares[0] - shares[1]), starts, axis=1) / 2, dtype=np.float64)
