"""Nearest items: where a caller allows few, exactly these are scored, and as the index would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, NO_CANDIDATES, FloatArray, IntArray, Query
from recsys.errors import ParamsError
from recsys.sources import nearest
from tests.support import bundles

VECTOR = np.array([1, 0.5, -2], dtype=np.float32)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("nearest") / "bundle"))


def query(only: list[bool] | None = None) -> Query:
    mask = None if only is None else np.array(only)
    return Query(EMPTY_HISTORY, 5, 0.0, vectors={"als": VECTOR}, only=mask)


@given(only=st.lists(st.booleans(), min_size=bundles.N_ITEMS, max_size=bundles.N_ITEMS), n=st.integers(1, 30))
def test_the_allowed_items_come_in_the_order_of_the_index(shop: Bundle, only: list[bool], n: int) -> None:
    source = nearest.build(shop, nearest.Config(model="als"))
    everything = source.propose(query(), bundles.N_ITEMS)
    allowed = [at for at, row in enumerate(everything.rows) if only[row]][:n]
    found = source.propose(query(only), n)
    assert found.rows.tolist() == everything.rows[allowed].tolist()
    assert found.scores == pytest.approx(everything.scores[allowed], abs=1e-6)
    assert found.rows.dtype == np.int32


def test_the_index_is_only_asked_where_many_are_allowed(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    source = nearest.build(shop, nearest.Config(model="als"))
    asked: list[int] = []
    search = shop.models["als"].index.search

    def noted(vector: FloatArray, n: int) -> tuple[IntArray, FloatArray]:
        asked.append(n)
        return search(vector, n)

    monkeypatch.setattr(source._index, "search", noted)
    few, many = [row < 3 for row in range(bundles.N_ITEMS)], [row < 4 for row in range(bundles.N_ITEMS)]
    monkeypatch.setattr(nearest, "EXACT_UP_TO", 3)
    assert sorted(source.propose(query(few), 10).rows.tolist()) == [0, 1, 2]
    assert asked == []
    assert len(source.propose(query(many), 10).rows) == 10  # the main path takes out what is not allowed
    assert asked == [10]


def test_without_a_vector_there_is_nothing_to_say(shop: Bundle) -> None:
    source = nearest.build(shop, nearest.Config(model="als"))
    assert (
        source.propose(Query(EMPTY_HISTORY, 5, 0.0, only=np.ones(bundles.N_ITEMS, dtype=np.bool_)), 5) is NO_CANDIDATES
    )


def test_a_model_that_is_not_there_is_refused(shop: Bundle) -> None:
    with pytest.raises(ParamsError, match="source 'nearest': model 'best' is not in the bundle; it has: als"):
        nearest.build(shop, nearest.Config(model="best"))
