"""Histories come back as they were written, for users with many events, with none, and unknown ones."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import histories
from recsys.bundle.histories import Histories
from recsys.contracts import EMPTY_HISTORY, FloatArray, History, epoch_seconds
from recsys.errors import BundleError

START = datetime(2024, 1, 1, tzinfo=UTC)
SCHEMA = pl.Schema(
    {"user_row": pl.Int32(), "item_row": pl.Int32(), "timestamp": pl.Datetime("us", "UTC"), "weight": pl.Float32()}
)


def written(items: list[list[int]], folder: Path) -> Histories:
    """One list of item rows a user, an event a second, weights 0.5, 1.5, ..."""
    rows = [
        (user, item, START + timedelta(seconds=place), place + 0.5)
        for user, own in enumerate(items)
        for place, item in enumerate(own)
    ]
    users = pl.DataFrame({"user_id": [f"user {number}" for number in range(len(items))]}, {"user_id": pl.String})
    histories.write(pl.DataFrame(rows, schema=SCHEMA, orient="row"), users, folder)
    return Histories(folder)


@given(st.lists(st.lists(st.integers(0, 1000), max_size=8), min_size=1, max_size=12))
def test_every_user_gets_exactly_the_own_events(
    tmp_path_factory: pytest.TempPathFactory, items: list[list[int]]
) -> None:
    made = written(items, tmp_path_factory.mktemp("histories"))
    for user, own in enumerate(items):
        history = made.of(f"user {user}")
        assert history.rows.tolist() == own
        assert history.weights.tolist() == [place + 0.5 for place in range(len(own))]
        assert history.times.tolist() == [START.timestamp() + place for place in range(len(own))]
        assert made.at(user).rows.tolist() == own


def test_an_unknown_user_has_an_empty_history(tmp_path: Path) -> None:
    assert written([[1, 2]], tmp_path).of("user 7") is EMPTY_HISTORY


def test_nobody_did_anything(tmp_path: Path) -> None:
    made = written([[], []], tmp_path)
    assert len(made.users) == 2
    assert len(made.of("user 1")) == 0


def test_a_bundle_may_hold_no_users_at_all(tmp_path: Path) -> None:
    made = written([], tmp_path)
    assert len(made.users) == 0
    assert made.of("user 0") is EMPTY_HISTORY


def test_dtypes_and_pages_shared_with_other_processes(tmp_path: Path) -> None:
    history = written([[1, 2], [3]], tmp_path).of("user 0")
    assert [each.dtype.name for each in (history.rows, history.weights, history.times)] == [
        "int32",
        "float32",
        "float64",
    ]
    owner = history.rows
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert isinstance(owner, np.memmap)


def test_microseconds_survive(tmp_path: Path) -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    seconds = epoch_seconds(pl.Series([moment], dtype=pl.Datetime("us", "UTC")))
    assert datetime.fromtimestamp(seconds[0], tz=UTC) == moment


class Counting:
    """An encoder whose vector says when it was asked, and how often it was."""

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, history: History, now: float) -> FloatArray | None:
        self.calls += 1
        return np.array([now, self.calls], dtype=np.float32)


def test_a_history_is_encoded_once_by_each_encoder_and_time(tmp_path: Path) -> None:
    made = written([[1, 2], [3]], tmp_path)
    first, second = Counting(), Counting()
    history = made.at(0)
    assert made.of("user 0") is history is not made.at(1)
    vectors = [history.vector(encoder, now) for encoder in (first, second) for now in (1.0, 1.0, 2.0)]
    assert np.array_equal(np.array(vectors), [[1, 1], [1, 1], [2, 2]] * 2)
    History(history.rows, history.weights, history.times).vector(first, 2.0)  # the same events, but its own vectors
    assert (first.calls, second.calls) == (3, 2)


def test_users_keep_their_attributes_beside_their_histories(tmp_path: Path) -> None:
    texts = ['{"country":"DE","age":31}', None, '{"tags":["a"]}']
    users = pl.DataFrame({"user_id": ["u0", "u1", "u2"], "attributes": texts})
    histories.write(pl.DataFrame([], schema=SCHEMA), users, tmp_path)
    made = Histories(tmp_path)
    found = [made.attributes(user) for user in ("u0", "u1", "u2", "unknown")]
    assert found == [{"country": "DE", "age": 31}, {}, {"tags": ["a"]}, {}]


def test_a_query_has_the_attributes_of_the_request_and_the_others_of_the_user_as_texts(tmp_path: Path) -> None:
    texts = ['{"country":"DE","age":31,"paid":true,"tags":["a"],"town":null}', None]
    users = pl.DataFrame({"user_id": ["u0", "u1"], "attributes": texts})
    histories.write(pl.DataFrame([], schema=SCHEMA), users, tmp_path)
    ask, said = Histories(tmp_path).query_attributes, {"country": "FR"}
    assert ask("u0", said) == {"country": "FR", "age": "31", "paid": "true", "tags": '["a"]'}
    assert ask("u0", {})["country"] == "DE"
    assert [ask(user, said) for user in ("u1", "unknown", None)] == [said] * 3


def test_without_attributes_there_is_no_file_of_them(tmp_path: Path) -> None:
    assert written([[1]], tmp_path).attributes("user 0") == {}
    assert not (tmp_path / histories.ATTRIBUTES).exists()


@pytest.mark.parametrize("texts", [["{}"], ["{}", "[1]"], ["{}", "no json"]])
def test_attributes_that_do_not_fit_the_users_are_refused(tmp_path: Path, texts: list[str]) -> None:
    written([[1], [2]], tmp_path)
    pl.DataFrame({"attributes": texts}).write_ipc(tmp_path / histories.ATTRIBUTES)
    with pytest.raises(BundleError, match=r"attributes.arrow: expected a JSON object or null for each of 2 users"):
        Histories(tmp_path)
