"""Measures false alarms and power of the drift tests, on simulated windows of answers with known shifts.

python -m benchmarks.drift.windows [--windows 4000] [--shifted 1000]

A shop has 20,000 persons. How often one comes is log-normal; who comes gets 1 to 4 answers in one visit. An answer has
12 features of 4 to 50 categories, Zipf-distributed; each person has an own mix of them (Dirichlet, the concentration
varies by feature), so that answers of a person are alike, and pairs of features depend on each other.

weeks      this window against three earlier ones; who is who is known
reference  this window against a release's reference of 10,000 answers, without ids: who is in both is not known
alike      a list of ten items to everyone who came, against lists to 1,000 of all persons, in pairs of persons with
           about as long a history: here who comes often has a long one, and one feature depends on it
shift      the share of one category of one feature, both drawn at random, rises by 10 or 5 of 100 answers

Measured beside: PSI > 0.2 of any feature, as in many guides; the same test with answers in place of persons; `alike`
without the pairs.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import provenance
from recsys.drift import reference
from recsys.drift.permutation import compare

PERSONS = 20_000
VISIT = 4
WEEKS = 3
BINS = (4, 4, 5, 8, 10, 10, 10, 12, 20, 30, 50, 50)
ALIKE = (0.5, 5.0, 2.0, 5.0, 1.0, 10.0, 1.0, 2.0, 0.5, 0.3, 0.2, 0.5)  # small: the answers of a person are alike
LEVEL = 0.01
REFERENCE, LIST = 10_000, 10
BY_LENGTH = 4  # the feature that depends on the length of the history, in the tests with lists
SIZES = (100, 2_000, 10_000)
SHIFTS = ((2_000, 0.10), (10_000, 0.05))
OURS, LISTS = ("weeks", "reference", "alike"), ("alike", "unpaired")
Ints = npt.NDArray[np.int64]
Window = tuple[Ints, list[Ints]]  # persons (n,); categories, features x (n,)


class Shop:
    """The persons: how often each comes, and the mix of each feature."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        often = rng.lognormal(0.0, 1.2, PERSONS)
        self.activity, self.lengths = np.cumsum(often), np.ceil(20 * often).astype(np.int64)
        self.mixes = []
        for bins, alike in zip(BINS, ALIKE, strict=True):
            zipf = 1 / np.arange(1, bins + 1)
            mix = rng.standard_gamma(alike * bins * zipf / zipf.sum(), (PERSONS, bins)) + 1e-12
            self.mixes.append(np.cumsum(mix / mix.sum(axis=1, keepdims=True), axis=1))

    def window(self, rng: np.random.Generator, n: int) -> Window:
        """n answers in a row."""
        visits = np.searchsorted(self.activity, rng.random(n) * self.activity[-1])
        persons = np.repeat(visits, rng.integers(1, VISIT + 1, n))[:n]
        return persons, self.categories(rng, persons)

    def lists(self, rng: np.random.Generator, persons: Ints) -> Window:
        """A list to each of these persons, whose feature `BY_LENGTH` depends on the length of the history."""
        persons = np.repeat(persons, LIST)
        categories = self.categories(rng, persons)
        longer = np.log2(self.lengths[persons]).astype(np.int64)
        categories[BY_LENGTH] = ((categories[BY_LENGTH] + longer) // 2).clip(0, BINS[BY_LENGTH] - 1)
        return persons, categories

    def categories(self, rng: np.random.Generator, persons: Ints) -> list[Ints]:
        """One answer to each of these persons, (n,): (n,) categories of each feature."""
        n = len(persons)
        drawn = rng.random((len(BINS), n))
        drawn[1::4] = (drawn[0::4] + 0.3 * drawn[1::4]) % 1.0  # depends on the feature before
        return [
            (mix[persons] < at[:, None]).sum(axis=1).clip(0, bins - 1)
            for mix, at, bins in zip(self.mixes, drawn, BINS, strict=True)
        ]


def shifted(rng: np.random.Generator, categories: list[Ints], share: float) -> list[Ints]:
    """One category of one feature, both at random: its share of the answers rises by `share`."""
    feature = int(rng.integers(len(BINS)))
    values = categories[feature]
    category = int(rng.integers(BINS[feature]))
    others = values != category
    moved = others & (rng.random(len(values)) < share / max(others.mean(), share))
    return [np.where(moved, category, kept) if at == feature else kept for at, kept in enumerate(categories)]


def drift(windows: list[Window], seed: int, known: bool = True, lengths: Ints | None = None) -> bool:
    """Whether the last of these windows differs; known: whether it is known who is in several of them; lengths: of the
    history of each person, None to compare all with all."""
    persons = np.concatenate([persons for persons, _ in windows])
    time = np.repeat(np.arange(len(windows)), [len(persons) for persons, _ in windows])
    pairs, rows = np.unique(persons * len(windows) + time, return_inverse=True)
    counts = {}
    for at, bins in enumerate(BINS):
        values = np.concatenate([categories[at] for _, categories in windows])
        cells = np.bincount(rows * bins + values, minlength=len(pairs) * bins)
        counts[f"feature {at}"] = cells.reshape(len(pairs), bins).astype(np.float32)
    person, period = pairs // len(windows) if known else np.full(len(pairs), -1), pairs % len(windows)
    if lengths is not None:
        now, before = (np.flatnonzero(period == at) for at in (1, 0))
        mine, theirs = reference.alike(*(lengths[pairs[side] // len(windows)] for side in (now, before)))
        kept = np.concatenate([before[theirs], now[mine]])
        counts, person, period = {name: each[kept] for name, each in counts.items()}, person[kept], period[kept]
    return any(one.alarm for one in compare(counts, person, period, LEVEL, seed=seed))


def by_weeks(before: list[Window], now: Window, seed: int) -> bool:
    """The test against earlier windows of as many answers."""
    return drift([*before, now], seed)


def by_reference(before: list[Window], now: Window, seed: int) -> bool:
    """The test against a reference that does not say who is who."""
    return drift([before[0], now], seed, known=False)


def by_answers(before: list[Window], now: Window, seed: int) -> bool:
    """The test that takes every answer for a person of its own."""
    n = len(now[0])
    return drift([(np.arange(n) + at * n, each[1]) for at, each in enumerate([*before, now])], seed)


def by_psi(before: list[Window], now: Window, seed: int) -> bool:
    """The usual rule: PSI above 0.2 in any feature."""
    del seed
    for at, bins in enumerate(BINS):
        old = np.concatenate([categories[at] for _, categories in before])
        p, q = (np.bincount(side, minlength=bins) / len(side) + 1e-4 for side in (old, now[1][at]))
        if float(((q - p) * np.log(q / p)).sum()) > 0.2:
            return True
    return False


TESTS: dict[str, Callable[..., bool]] = {
    "weeks": by_weeks, "reference": by_reference, "answers": by_answers, "psi": by_psi,
}  # fmt: skip


def alarms(test: str, n: int, windows: int, share: float, seed: int) -> dict[str, Any]:
    """How many of these windows of n answers alarm."""
    shop, found = Shop(seed), 0
    for number in range(windows):
        rng = np.random.default_rng([seed, n, number])
        if test in LISTS:
            before = [shop.lists(rng, rng.choice(PERSONS, reference.PERSONS, replace=False))]
            persons, categories = shop.lists(rng, np.unique(shop.window(rng, n)[0]))
        else:
            before = [shop.window(rng, size) for size in ([REFERENCE] if test == "reference" else [n] * WEEKS)]
            persons, categories = shop.window(rng, n)
        now = (persons, shifted(rng, categories, share) if share else categories)
        if test in LISTS:
            found += drift([before[0], now], number, known=False, lengths=shop.lengths if test == "alike" else None)
        else:
            found += TESTS[test](before, now, number)
    print(f"{test}: {n} answers, shift {share:.0%}: {found} of {windows}", flush=True)
    rate = round(found / windows, 5)
    return {"test": test, "answers": n, "shift": share, "windows": windows, "alarms": found, "rate": rate}


def main() -> None:
    """Measure and write."""
    options = argparse.ArgumentParser()
    options.add_argument("--windows", type=int, default=4_000)
    options.add_argument("--shifted", type=int, default=400)
    wanted = options.parse_args()
    origin = provenance.describe()
    null = [(test, n, wanted.windows // (1 if n == 2_000 else 4), 0.0) for test in OURS for n in SIZES]
    power = [(test, n, wanted.shifted, share) for test in OURS for n, share in SHIFTS]
    beside = [(test, n, wanted.shifted, 0.0) for test in ("answers", "psi", "unpaired") for n in SIZES[:2]]
    beside.append(("psi", 2_000, wanted.shifted, 0.1))
    rows = [alarms(*each, seed=1 + (each[3] > 0)) for each in [*null, *power, *beside]]
    provenance.write("drift", origin, {"level": LEVEL, "persons": PERSONS, "bins": BINS, "rows": rows})


if __name__ == "__main__":
    main()
