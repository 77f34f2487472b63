"""The raw tables of the made-up shop: their size, their dirt, and the same bytes every time."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys.datasets import synthetic
from recsys.datasets.shop_world import log
from recsys.datasets.shop_world.catalogue import END, ids
from recsys.datasets.shop_world.log import BOT_LOOKS
from recsys.errors import DataError

SHOP = synthetic.Config(
    events=50_000, users=1_500, items=600, days=120, new_item_share=0.2, new_user_share=0.3, dirt_share=0.04
)
TINY = SHOP.model_copy(update={"events": 2_000, "users": 200, "items": 100})
LAST = END + timedelta(days=1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    synthetic.fetch(SHOP, folder, seed=7)
    return folder


@pytest.fixture(scope="module")
def events(raw: Path) -> pl.DataFrame:
    return synthetic.tables(SHOP, raw).interactions.collect()


@pytest.fixture(scope="module")
def items(raw: Path) -> pl.DataFrame:
    return synthetic.tables(SHOP, raw).items.collect()


@pytest.mark.parametrize(
    "config",
    [
        SHOP,
        TINY,
        synthetic.Config(
            events=101, users=10, items=10, days=7, new_item_share=0.9, new_user_share=0.9, dirt_share=0.2
        ),
        synthetic.Config(events=500, users=10, items=10, days=900, new_item_share=0, new_user_share=0, dirt_share=0),
    ],
)
def test_size_is_exact_from_tiny_up(config: synthetic.Config, tmp_path: Path) -> None:
    synthetic.fetch(config, tmp_path, seed=1)
    tables = synthetic.tables(config, tmp_path)
    events = tables.interactions.collect()
    assert len(events) == config.events
    assert tables.items.collect()["item_id"].n_unique() == config.items
    assert set(events["event"].unique()) <= {"view", "cart", "purchase"}
    assert events.null_count().row(0)[:4] == (0, 0, 0, 0)


def test_same_seed_same_bytes(raw: Path, tmp_path: Path) -> None:
    synthetic.fetch(SHOP, tmp_path, seed=7)
    names = sorted(file.name for file in raw.iterdir())
    assert names == ["interactions-000.parquet", "items.parquet"]
    assert all((raw / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_other_seed_other_shop(items: pl.DataFrame, events: pl.DataFrame, tmp_path: Path) -> None:
    synthetic.fetch(SHOP, tmp_path, seed=8)
    other = synthetic.tables(SHOP, tmp_path)
    assert not items.equals(other.items.collect())
    assert not events.equals(other.interactions.collect())


def test_parts_add_up_and_follow_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PART_EVENTS", 500)
    synthetic.fetch(TINY, tmp_path, seed=1)
    files = sorted(tmp_path.glob("interactions-*.parquet"))
    assert len(files) >= 4
    events = synthetic.tables(TINY, tmp_path).interactions.collect()
    assert events.equals(pl.concat([pl.read_parquet(file) for file in files]))
    assert len(events) == TINY.events
    middles = [pl.read_parquet(file)["timestamp"].median() for file in files]
    assert middles == sorted(middles)  # type: ignore[type-var]


def test_purchases_are_about_a_tenth_and_alone_have_a_value(events: pl.DataFrame) -> None:
    share = events["event"].value_counts(normalize=True)
    assert 0.08 < share.filter(event="purchase")["proportion"].item() < 0.12
    assert events.filter(pl.col("value").is_not_null())["event"].unique().to_list() == ["purchase"]
    assert events.filter(event="purchase")["value"].min() > 0  # type: ignore[operator]


def test_dirt_has_its_share_and_its_kinds(events: pl.DataFrame, items: pl.DataFrame) -> None:
    n_dirty = SHOP.dirt_share * SHOP.events
    clean_users = ids("u", pl.Series(range(SHOP.users)))
    bots = events.filter(~pl.col("user_id").is_in(clean_users.implode()))
    assert len(events) - len(events.unique()) == round(0.4 * n_dirty)
    assert len(bots) == round(0.3 * n_dirty)
    assert len(events.join(items, on="item_id", how="anti")) == round(0.2 * n_dirty)
    assert len(events.filter(pl.col("timestamp") > LAST)) == round(0.1 * n_dirty)
    assert len(items.filter(pl.col("price") < 0)) == round(SHOP.dirt_share * SHOP.items)


def test_a_bot_only_looks_and_looks_every_second(events: pl.DataFrame) -> None:
    clean_users = ids("u", pl.Series(range(SHOP.users)))
    bots = events.filter(~pl.col("user_id").is_in(clean_users.implode()))
    assert bots["event"].unique().to_list() == ["view"]
    one = bots.filter(user_id=ids("u", pl.Series([SHOP.users]))[0])
    assert len(one) >= BOT_LOOKS
    assert one["timestamp"].diff().drop_nulls().unique().to_list() == [timedelta(seconds=1)]


def test_without_dirt_nothing_is_wrong(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"dirt_share": 0.0})
    synthetic.fetch(config, tmp_path, seed=1)
    tables = synthetic.tables(config, tmp_path)
    events, items = tables.interactions.collect(), tables.items.collect()
    assert len(events) == len(events.unique())
    assert events.join(items, on="item_id", how="anti").is_empty()
    assert events["timestamp"].max() < tables.latest  # type: ignore[operator]
    assert items["price"].min() > 0  # type: ignore[operator]
    assert events["user_id"].n_unique() <= config.users


def test_new_items_and_new_users_keep_arriving(events: pl.DataFrame, items: pl.DataFrame) -> None:
    live = events.filter(pl.col("timestamp") <= LAST).join(items, on="item_id")
    assert (live["timestamp"] >= live["first_seen"]).all()
    start = END - timedelta(days=SHOP.days)
    assert len(items.filter(pl.col("first_seen") > start)) == SHOP.new_item_share * SHOP.items
    for column in ("item_id", "user_id"):
        first = live.group_by(column).agg(pl.col("timestamp").min())["timestamp"]
        last_month, month_before = END - timedelta(days=30), END - timedelta(days=60)
        assert (first >= last_month).mean() > 0.03, column  # type: ignore[operator]
        assert first.is_between(month_before, last_month).mean() > 0.03, column  # type: ignore[operator]


def test_an_unavailable_item_is_no_longer_sold(events: pl.DataFrame, items: pl.DataFrame) -> None:
    last = events.filter(pl.col("timestamp") <= LAST).group_by("item_id").agg(pl.col("timestamp").max())
    gone = items.filter(~pl.col("available")).join(last, on="item_id")
    assert len(gone) > 0
    assert (gone["timestamp"] < END).mean() > 0.9  # type: ignore[operator]


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no items\.parquet; run `dvc repro fetch`"):
        synthetic.tables(SHOP, tmp_path)
