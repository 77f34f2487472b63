"""What filters and business rules cost: benchmarks/results/rules.json

    python -m benchmarks.rules

A bundle of random vectors, 50 categories, two for each item; histories of 40 events. Medians of CPU milliseconds, on
one thread.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import polars as pl

from benchmarks import provenance
from recsys import params
from recsys.bundle import bundle, embeddings, index
from recsys.bundle.bundle import Bundle
from recsys.business_rules import slate
from recsys.business_rules.diversity import likeness, mmr
from recsys.business_rules.filters.masks import Filters
from recsys.business_rules.schema import Rules
from recsys.contracts import Embeddings, Query
from recsys.recommend.recommender import Recommender

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DIM, USERS, EVENTS = 64, 500, 40
STATIC = 'category = "c7" and price < 20'
LARGE = "price < 90"
STOCK = 'category in ("c1", "c2", "c3") and price < 50 and available = true'
RULES = Rules.model_validate(
    {
        "block": {"categories": ["c1"], "filters": ["price > 99"]},
        "cap": {"every_category": 3},
        "boost": [{"filter": 'category = "c2"', "factor": 1.5}],
        "bury": [{"filter": "price > 90", "factor": 0.5}],
        "pin": [{"item": "i5", "position": 2}],
        "diversity": 0.3,
    }
)
TIGHT = Rules.model_validate({"cap": {"every_category": 1}})  # two categories an item: room for 25


def make(
    n_items: int, folder: Path, models: tuple[str, ...] = ("als",), exact: bool = True, users: int = USERS
) -> Bundle:
    """Write a bundle of that size and open it. models: all have the same vectors; exact: whether they are searched one
    by one, whatever the settings say."""
    draw = np.random.default_rng(1)
    made = draw.standard_normal((n_items, DIM)).astype(np.float32)
    rows = np.arange(n_items, dtype=np.int32)
    settings = params.load()
    gram = (made.T @ made).astype(np.float32) + np.eye(DIM, dtype=np.float32)
    fitted = Embeddings(made, rows, "als_fold_in", {"alpha": 10.0, "half_life_days": 365.0}, {"gram": gram})
    embeddings.save(fitted, folder / "model")
    wanted = settings.index.model_copy(update={"exact_up_to": n_items}) if exact else settings.index
    index.build(made, rows, wanted, seed=1).save(folder / "model")
    catalogue = pl.DataFrame(
        {
            "row": rows,
            "item_id": [f"i{row}" for row in rows],
            "title": [f"item {row}" for row in rows],
            "text": [""] * n_items,
            "categories": [[f"c{row % 25}", f"c{25 + row // 25 % 25}"] for row in rows.tolist()],
            "price": draw.random(n_items) * 100,
            "available": draw.random(n_items) < 0.95,
            "first_seen": [NOW - timedelta(days=100)] * n_items,
        },
        schema_overrides={"first_seen": pl.Datetime("us", "UTC")},
    )
    hours = np.tile(np.arange(EVENTS), users)
    interactions = pl.DataFrame(
        {
            "user_row": np.repeat(np.arange(users, dtype=np.int32), EVENTS),
            "item_row": draw.integers(0, n_items, users * EVENTS).astype(np.int32),
            "timestamp": np.datetime64(NOW.replace(tzinfo=None), "us") - hours.astype("timedelta64[h]"),
        }
    ).with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC"),
        event=pl.lit("view"), value=pl.lit(None, pl.Float32), weight=pl.lit(1.0, pl.Float32),
    ).sort("user_row", "timestamp")  # fmt: skip
    table = pl.DataFrame({"user_row": np.arange(users, dtype=np.int32), "user_id": [f"u{at}" for at in range(users)]})
    files = dict.fromkeys(models, (folder / "model", folder / "model"))
    parts = bundle.Parts(interactions, catalogue, table, NOW.timestamp(), files)
    known = {name: each for name, each in settings.variants.items() if {*each.models, *each.pairs} <= {*models}}
    kept = settings.model_copy(update={"variants": known})
    bundle.write(parts, kept, {}, folder / "bundle", max(known, key=lambda name: len(known[name].models)))
    return bundle.load(folder / "bundle")


def median_ms(ask: Callable[[int], object], times: int) -> float:
    """Of that many calls after three to warm up."""
    taken = []
    for at in range(-3, times):
        began = time.process_time()
        ask(at)
        taken.append(time.process_time() - began)
    return round(float(np.median(taken[3:])) * 1e3, 4)


def measure(opened: Bundle, times: int) -> dict[str, float]:
    """Parts alone, then whole answers of ten; slow ones a tenth as often."""
    filters = Filters(opened.catalogue)
    shape = slate.compiled(RULES, opened)[0].at(NOW.timestamp())
    tight = slate.compiled(TIGHT, opened)[0]
    nothing = slate.compiled(Rules(), opened)[0]
    vectors, hundred = opened.models["als"].embeddings.vectors, np.arange(100, dtype=np.int32)
    als = Recommender(opened, "als")
    known = [opened.histories.of(f"u{at}") for at in range(USERS)]

    def ask(
        only: str | None = None, wishes: slate.CompiledSlateRules | None = None, k: int = 10
    ) -> Callable[[int], object]:
        def answer(at: int) -> object:
            mask = None if only is None else filters.mask(only)
            return als.recommend(Query(known[at % USERS], k, NOW.timestamp(), "u", only=mask), wishes)

        return answer

    slow = max(times // 10, 1)
    return {
        "filter, first time": median_ms(lambda at: filters.mask(f"{STATIC} and price > {(at + 9) / 1e6}"), times),
        "filter, kept": median_ms(lambda at: filters.mask(STATIC), times),
        "filter that asks for stock, kept": median_ms(lambda at: filters.mask(STOCK), times),
        "mmr, 10 of 100": median_ms(lambda at: mmr(likeness(hundred, vectors, shape.groups), 10, 0.3), times),
        "mmr, 100 of 100": median_ms(lambda at: mmr(likeness(hundred, vectors, shape.groups), 100, 0.3), times),
        "rules compiled": median_ms(lambda at: slate.compiled(RULES, opened), slow),
        "answer": median_ms(ask(), times),
        "answer, filter that lets 1 in 125 pass": median_ms(ask(STATIC), times),
        "answer, filter that lets 9 in 10 pass": median_ms(ask(LARGE), times),
        "answer, diversity": median_ms(ask(wishes=nothing.at(0.0, diversity=0.3)), times),
        "answer, all rules": median_ms(ask(wishes=shape), times),
        "answer, all rules and a filter": median_ms(ask(LARGE, shape), times),
        "answer of 30 where caps leave room for 25": median_ms(ask(wishes=tight, k=30), slow),
    }


def main(sizes: tuple[int, ...] = (10_000, 100_000), times: int = 200) -> None:
    """Measure the sizes, numbers of items, and write the file."""
    origin = provenance.describe()
    found: dict[str, Any] = {"unit": "ms of CPU, median of calls"}
    for n_items in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found[f"{n_items} items"] = measure(make(n_items, Path(folder)), times)
            print(n_items, json.dumps(found[f"{n_items} items"], indent=1))
    provenance.write("rules", origin, found)


if __name__ == "__main__":
    main()
