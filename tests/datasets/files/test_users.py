"""A table of users and their attributes: validated as items are, and carried to the split."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.data.report import check
from recsys.errors import DataError, ParamsError
from tests.data.made_split import make
from tests.support import own_files

EVENTS = own_files.EVENTS + "".join(
    f"u{user},{item},2024-05-{day + 1:02}\n" for day in range(20) for user, item in enumerate("abc")
)
USERS = """id,land,age,tags
u0,DE,31,new|vip
u1,,old,
u1,FR,40,
 u2,FR,40,
u3,FR,55,
u3,FR,55,
"""
FILE: dict[str, Any] = {
    "path": "users.csv",
    "columns": {"user_id": "id"},
    "attributes": {
        "country": "land",
        "age": {"column": "age", "kind": "number"},
        "tags": {"column": "tags", "kind": "list"},
    },
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("users.csv").write_text(USERS)


def test_each_row_is_a_user_or_is_refused_with_its_reason() -> None:
    outcome = own_files.run(EVENTS, users=FILE)
    kept = pl.read_parquet("out/users.parquet")
    assert kept.rows() == [
        ("u0", '{"age":31,"country":"DE","tags":["new","vip"]}'),
        ("u1", None),
        ("u3", '{"age":55,"country":"FR"}'),
    ]
    bad = outcome.quarantine.filter(pl.col("table") == "users")
    assert bad.select("row", "reason").rows() == [(2, "repeated_user_id"), (3, "user_id_padded"), (5, "duplicate")]
    assert outcome.notes("users") == {"attributes.age emptied: unreadable": 1}
    outcome.assert_every_line_counts(users=7)
    text = outcome.report.to_text()
    assert "users.csv" in text
    assert "repeated_user_id" in text


def test_the_limits_of_the_settings_count_for_users_too() -> None:
    outcome = own_files.run(EVENTS, users=FILE)
    limits: list[tuple[dict[str, Any], str]] = [
        ({"max_rejected_share": 0.4}, r"^users.csv: 3 of 6 users rejected \(50.0%\).*max_rejected_share allows 40.0%"),
        ({"max_emptied_share": 0.1}, r"^users.csv: attributes.age emptied: unreadable in 1 of 6 users, .*allows 10.0%"),
    ]
    for limit, line in limits:
        with pytest.raises(DataError, match=line):
            check(outcome.report, own_files.settings(**limit).thresholds, Path("out"))


def test_the_split_has_the_attributes_of_its_users() -> None:
    outcome = own_files.run(EVENTS, users=FILE)
    params = own_files.settings().split.model_copy(update={"allow_repeat": True})
    described = pl.read_parquet("out/users.parquet")
    cut = make(outcome.interactions.lazy(), outcome.items, params, 1, described)
    assert dict(cut.users.select("user_id", "attributes").iter_rows()) == {
        "u0": '{"age":31,"country":"DE","tags":["new","vip"]}', "u1": None, "u2": None,
    }  # fmt: skip
    plain = make(outcome.interactions.lazy(), outcome.items, params, 1)
    assert plain.users.equals(cut.users.drop("attributes"))


def test_without_a_table_of_users_nothing_speaks_of_one() -> None:
    outcome = own_files.run(EVENTS)
    assert not Path("out/users.parquet").exists()
    assert "users_table" not in outcome.report.to_json()


def test_a_column_that_no_user_has_is_one_line() -> None:
    with pytest.raises(
        ParamsError, match=r"users.columns: .*'title' is not a canonical column, expected some of user_id"
    ):
        own_files.run(EVENTS, users={"path": "users.csv", "columns": {"title": "land"}})
    with pytest.raises(DataError, match=r"^users.csv: no column 'lands' \(for attributes.x\)"):
        own_files.run(EVENTS, users={**FILE, "attributes": {"x": "lands"}})
