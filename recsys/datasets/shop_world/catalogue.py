"""Raw tables of the synthetic data: items with words and prices as a shop would publish them, ids, and times."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import BRANDS, COLOURS, DEPARTMENTS, PRAISE, STYLES, SUBS, Floats, Ints, Items

END = datetime(2026, 1, 1, tzinfo=UTC)  # end of the log, fixed so that no run depends on today's date


def start(config: Config) -> datetime:
    """Return midnight of the first day of the log."""
    return END - timedelta(days=config.days)


def ids(letter: str, rows: pl.Series) -> pl.Series:
    """Return external ids, such as `p0000042`, for row numbers; letter: the first one of the id."""
    return letter + rows.cast(pl.String).str.zfill(7)


def after_start(config: Config, microseconds: Floats | Ints) -> pl.Series:
    """Return the times, UTC, that are the given numbers of microseconds after the first midnight of the log."""
    return start(config) + pl.Series(microseconds.astype(np.int64)).cast(pl.Duration("us"))


def events(letter: str, user: Ints, item: Ints, moments: pl.Series, event: str | pl.Series) -> pl.DataFrame:
    """Return raw interactions. user, item: (n,) row numbers; letter: begins item ids; event: of all rows or of each."""
    who, what = ids("u", pl.Series(user)), ids(letter, pl.Series(item))
    return pl.DataFrame({"user_id": who, "item_id": what, "timestamp": moments}).with_columns(event=pl.lit(event))


def frame(config: Config, items: Items, rng: np.random.Generator) -> pl.DataFrame:
    """Return the raw items: item_id, title, text, categories, price, available (on the last day), first_seen."""
    rows = pl.Series(np.arange(len(items)))
    words = [_words(sub, brand, rng) for sub, brand in zip(items.sub.tolist(), items.brand.tolist(), strict=True)]
    arrives = pl.Series(items.arrives).cast(pl.Int64) * timedelta(days=1)
    return pl.DataFrame(
        {
            "item_id": ids("p", rows),
            "title": [title for title, _ in words],
            "text": [text for _, text in words],
            "categories": [[SUBS[sub][0], " > ".join(SUBS[sub])] for sub in items.sub.tolist()],
            "price": items.price,
            "available": np.isinf(items.leaves),
            "first_seen": pl.repeat(start(config), len(items), eager=True) + arrives,
        }
    )


def _words(sub: int, brand: int, rng: np.random.Generator) -> tuple[str, str]:
    department, sub_name = SUBS[sub]
    style, brand_name = BRANDS[brand]
    nouns = DEPARTMENTS[department][sub_name][1]
    adjectives = STYLES[style][0]
    first, second, third = rng.permutation(len(adjectives))[:3]
    noun, colour = nouns[rng.integers(len(nouns))], COLOURS[rng.integers(len(COLOURS))]
    praise = PRAISE[rng.integers(len(PRAISE))]
    title = f"{adjectives[first]} {colour} {noun} by {brand_name}"
    look, maker = f"{adjectives[second]} and {adjectives[third]}", f"the {sub_name.lower()} range of {brand_name}"
    text = f"{look}: a {noun} from {maker}. {praise}"
    return title[0].upper() + title[1:], text[0].upper() + text[1:]
