"""Measures how often the gate promotes an equal and a better variant, in simulated evaluations with known effects.

python -m benchmarks.evaluation.gate [--sets 1000] [--users 1000 2000 5000]

A user's NDCG@10 is 0 for three users of four and that of one hit at a random rank for the others. A variant finds the
same as the baseline for most users and draws anew for the rest, so many that the difference of two variants varies from
user to user by 0.72 times the mean: what the default data set shows between `learned` and `als_recent`. 8 % of the
users are `few`, 12 % `cold_user`, where every variant answers alike; of the others 75 % are asked again as new users.

equal          five candidates as good as the baseline: promoted is anything but the baseline
equal_to_each  five candidates that all find twice as much as the baseline: promoted is anything but the simplest
better         the last of five is 5 % better than the baseline, the others equal to it: promoted is the last
better_than    the last of five is 5 % better than the other four, who find twice as much as the baseline
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import provenance
from recsys import params
from recsys.evaluation.choices import gate
from recsys.ranking import Values

CANDIDATES = ["a", "b", "c", "d", "e"]
GAINS = 1 / np.log2(np.arange(2, 12))
HITS, VARIES = 0.25, 0.72
SCENARIOS: dict[str, tuple[float, float, str, str]] = {  # first four, last, who is not promoted, who should be
    "equal": (1.0, 1.0, "popular", "nobody"),
    "equal_to_each": (2.0, 2.0, "a", "nobody"),
    "better": (1.0, 1.05, "popular", "e"),
    "better_than": (2.0, 2.1, "a", "e"),
}


def settings() -> params.Params:
    """The gate as it is shipped, with other candidates."""
    given = params.load(provenance.TOP / "params.yaml")
    data = given.data.model_copy(update={"release_candidates": CANDIDATES})
    return given.model_copy(update={"datasets": {given.dataset: data}})


def simulated(rng: np.random.Generator, n_users: int, first: float, last: float) -> dict[str, dict[str, Values]]:
    """One evaluation: segment -> variant -> NDCG of its users. first, last: means as multiples of the baseline's."""
    kind = rng.random(n_users)
    cold, few = kind < 0.12, (kind >= 0.12) & (kind < 0.2)
    everyone = _lists(rng, n_users, first, last)
    new = _lists(rng, round(0.6 * n_users), first, last)
    for name in CANDIDATES:
        everyone[name][cold] = everyone["popular"][cold]
    mine = {"few": few, "cold_user": cold}
    parts = {part: {name: values[users] for name, values in everyone.items()} for part, users in mine.items()}
    same = dict.fromkeys(["popular", *CANDIDATES], new["popular"])
    return {"all": everyone, **parts, "new_user_0": same, "new_user_1": new, "new_user_3": new}


def _lists(rng: np.random.Generator, n_users: int, first: float, last: float) -> dict[str, Values]:
    mean = HITS * GAINS.mean()
    anew = VARIES**2 * mean**2 / (2 * (HITS * (GAINS**2).mean() - mean**2))
    popular = _found(rng, n_users, HITS)
    shared = popular if first == 1.0 else _found(rng, n_users, HITS * first)
    lists = {"popular": popular}
    for name in CANDIDATES:
        lift = last / first if name == CANDIDATES[-1] else 1.0
        own = _found(rng, n_users, HITS * first * (1 + (lift - 1) / (0.88 * anew)))
        lists[name] = np.where(rng.random(n_users) < anew, own, shared)
    return lists


def _found(rng: np.random.Generator, n_users: int, hits: float) -> Values:
    values: Values = np.where(rng.random(n_users) < hits, rng.choice(GAINS, n_users), 0.0)
    return values


def measure(sets: int, users: list[int]) -> dict[str, Any]:
    """Scenario -> number of users -> how often which variant was released."""
    given, found = settings(), {}
    for number, (scenario, (first, last, stays, wanted)) in enumerate(SCENARIOS.items()):
        for n_users in users:
            rng = np.random.default_rng([number, n_users])
            released = [gate.decide(simulated(rng, n_users, first, last), given).variant for _ in range(sets)]
            promoted = sum(name != stays if wanted == "nobody" else name == wanted for name in released) / sets
            found[f"{scenario}_{n_users}"] = {"scenario": scenario, "users": n_users, "promoted": round(promoted, 4)}
    return {"sets": sets, "candidates": len(CANDIDATES), "alpha": given.gate.alpha, "figures": found}


def main(write: Callable[..., None] = provenance.write) -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--users", type=int, nargs="+", default=[1000, 2000, 5000])
    given, origin = parser.parse_args(), provenance.describe()
    found = measure(given.sets, given.users)
    for row in found["figures"].values():
        print(f"{row['scenario']:>14} {row['users']:>6,} users: promoted {row['promoted']:.1%}")
    write("gate", origin, found)


if __name__ == "__main__":
    main()
