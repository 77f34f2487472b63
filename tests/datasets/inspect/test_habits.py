"""What `recsys inspect` guesses of roles that names decide, of days, ratings, visits and repeats."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from recsys.datasets._inspect.inspect import inspect

START = datetime(2024, 11, 1, tzinfo=UTC)


def section(path: Path, header: str, rows: list[str], *others: Path) -> dict[str, Any]:
    path.write_text("\n".join([header, *rows]))
    found: dict[str, Any] = yaml.safe_load(inspect([path, *others])[1])["files"]
    return found


def test_users_who_are_numbered_like_items_stay_users(tmp_path: Path) -> None:
    items = tmp_path / "films.csv"
    items.write_text("\n".join(["movie_id,title", *(f"{n},Film {n}" for n in range(60))]))
    rows = [f"{n % 90},{n % 60},{n % 5 + 1},{1_700_000_000 + n}" for n in range(900)]
    found = section(tmp_path / "ratings.csv", "user_id,movie_id,rating,timestamp", rows, items)
    assert found["adapter"]["interactions"]["columns"] == {"item_id": "movie_id", "value": "rating"}


def test_the_first_days_of_a_log_are_not_the_first_of_each_month(tmp_path: Path) -> None:
    rows = [f"c{n % 40},p{n % 50},{START + timedelta(days=n // 90):%m/%d/%Y}" for n in range(900)]
    found = section(tmp_path / "sales.csv", "customer,product,date", rows)
    assert found["adapter"]["interactions"]["timestamp_format"] == "%m/%d/%Y"


def test_a_small_amount_is_no_rating(tmp_path: Path) -> None:
    rows = [f"c{n % 40},p{n % 50},{START + timedelta(hours=n):%Y-%m-%d},{n % 9 + 1}" for n in range(900)]
    found = section(tmp_path / "sales.csv", "customer,product,date,amount", rows)
    assert found["adapter"]["interactions"]["event"] == "purchase"
    assert "like_from" not in found["thresholds"]


def test_ratings_that_people_like_are_found(tmp_path: Path) -> None:
    rows = [f"u{n % 90},f{n % 60},{(1, 3, 4, 4, 5)[n % 5]},{1_700_000_000 + n}" for n in range(900)]
    assert section(tmp_path / "r.csv", "user,film,rating,timestamp", rows)["thresholds"]["like_from"] == 4


def test_people_who_come_once_keep_a_history(tmp_path: Path) -> None:
    once = [f"u{n // 10},f{n % 60},{1_700_000_000 + n // 10 * 90_000}" for n in range(900)]
    shuffled = [once[n * 7 % 900] for n in range(900)]
    assert section(tmp_path / "r.csv", "user,film,timestamp", shuffled)["split"]["protocol"] == "per_user_holdout"
    assert section(tmp_path / "r.csv", "user,film,timestamp", once)["split"]["protocol"] == "global_time"
    often = [f"u{n % 90},f{n % 60},{1_700_000_000 + n * 90_000}" for n in range(900)][::-1]
    assert section(tmp_path / "r.csv", "user,film,timestamp", often)["split"]["protocol"] == "global_time"


def test_what_is_bought_again_may_be_recommended_again(tmp_path: Path) -> None:
    header = "customer,product,date,quantity"
    again = [f"c{n % 30},p{n % 30 + n // 30 % 2},{START + timedelta(days=n // 30):%Y-%m-%d},1" for n in range(900)]
    assert section(tmp_path / "s.csv", header, again)["split"]["allow_repeat"] is True
    never = [f"c{n % 30},p{n},{START + timedelta(days=n // 30):%Y-%m-%d},1" for n in range(900)]
    assert "allow_repeat" not in section(tmp_path / "s.csv", header, never)["split"]


def test_rows_without_a_user_do_not_stop_the_run(tmp_path: Path) -> None:
    rows = [f"{f'c{n % 40}' if n % 4 else ''},p{n % 50},{START + timedelta(hours=n):%Y-%m-%d},1" for n in range(900)]
    found = section(tmp_path / "s.csv", "customer,product,date,quantity", rows)
    assert found["thresholds"]["max_rejected_share"] == 0.3
    assert "# 25% of the rows name no user, item or time: they are refused." in inspect([tmp_path / "s.csv"])[1]
