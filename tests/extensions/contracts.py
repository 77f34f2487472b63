"""What every extension must keep. Whatever breaks it is an AssertionError of one line: the file, what, what to do.

Each function gets the name of the file and what it builds, and tries it on the shop of tests/support/bundles.py: users
of both tastes, one without events, one who knows only what no model knows, a stranger; lists of one item and of all.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from recsys.bundle.bundle import Bundle
from recsys.contracts import (
    NO_ROWS,
    Candidates,
    Embeddings,
    Encoder,
    History,
    ItemItem,
    LiveCounts,
    Query,
    Ranker,
    Rule,
    Source,
    TrainingData,
)
from recsys.encoders import item_item
from recsys.recommend.live_counts import SCHEMA, LiveEvents, count
from tests.support import bundles
from tests.support.queries import query

USERS = [*bundles.HISTORIES, "a stranger"]


class Contract:
    """The contract of one file: `keeps(condition, what, cure)` raises with its name."""

    def __init__(self, kind: str, name: str) -> None:
        self.file = f"recsys/{kind}/{name}.py"

    def keeps(self, condition: object, what: str, cure: str) -> None:
        assert condition, f"{self.file}: {what}: {cure}"

    def call(self, what: str, function: Callable[[], Any]) -> Any:
        """Call it; an exception is a fault of the file."""
        try:
            return function()
        except Exception as error:
            raise AssertionError(
                f"{self.file}: {what} raised {type(error).__name__}: {error}: handle this case"
            ) from error


def queries(shop: Bundle, k: int = 5) -> Iterator[Query]:
    """One query of each user, as the recommender asks it: with vectors and scores of pairs."""
    for user in USERS:
        asked = query(shop, user, k)
        vectors = {name: model.encoder.encode(asked.history, asked.now) for name, model in shop.models.items()}
        pairs = {
            name: item_item.scores(model, asked.history, asked.now, len(shop.catalogue))
            for name, model in shop.item_items.items()
            if len(asked.history)
        }
        asked = replace(
            asked, vectors=vectors, pair_scores={name: each for name, each in pairs.items() if each is not None}
        )
        yield asked
        yield replace(asked, live=live(shop))


def live(shop: Bundle) -> LiveCounts:
    """Three persons who liked two items one after the other since the training."""
    now, likes = bundles.NOW.timestamp(), LiveEvents(100)
    rows = [
        (f"{person} {at}", f"u:{person}", bundles.ITEM_IDS[at], True, now + at, now + at)
        for person in "abc"
        for at in (1, 2)
    ]
    likes.add(pl.DataFrame(rows, schema=SCHEMA, orient="row"))
    return count(likes.likes(now, now + 60), shop, now + 60, shop.catalogue.ids.position)


def check_source(name: str, source: Source, shop: Bundle) -> None:
    """Try a source for every user and several n."""
    contract, n_items = Contract("sources", name), len(shop.catalogue)
    for asked in queries(shop):
        for n in (1, 5, 10 * n_items):
            found = contract.call(f"propose(user {asked.user_id!r}, n={n})", lambda: source.propose(asked, n))  # noqa: B023
            again = contract.call("a second call", lambda: source.propose(asked, n))  # noqa: B023
            contract.keeps(
                isinstance(found, Candidates), f"propose returned {type(found).__name__}", "return Candidates"
            )
            _check_rows(contract, found, n, n_items)
            same = found.rows.tolist() == again.rows.tolist() and found.scores.tolist() == again.scores.tolist()
            contract.keeps(same, "two equal queries got different lists", "draw from query.seed, keep no state")
            personal = found.personal
            if personal is not None:
                contract.keeps(
                    personal.dtype == np.bool_ and personal.shape == found.rows.shape,
                    f"personal is {personal.dtype} of shape {personal.shape}", "give one bool a row",
                )  # fmt: skip
                stranger = not len(asked.history)
                contract.keeps(
                    not (stranger and personal.any()), "rows are personal to a user without a history",
                    "set personal only where the row depends on the history",
                )  # fmt: skip


def _check_rows(contract: Contract, found: Candidates, n: int, n_items: int) -> None:
    rows, scores = found.rows, found.scores
    contract.keeps(rows.dtype == np.int32, f"rows are {rows.dtype}", "return rows.astype(np.int32)")
    contract.keeps(scores.dtype == np.float32, f"scores are {scores.dtype}", "return scores.astype(np.float32)")
    contract.keeps(rows.ndim == 1, f"rows have shape {rows.shape}", "return one row a candidate")
    contract.keeps(len(rows) == len(scores), f"{len(rows)} rows, {len(scores)} scores", "return one score a row")
    contract.keeps(len(rows) <= n, f"{len(rows)} candidates where {n} were asked for", "cut to the best n")
    inside = ((rows >= 0) & (rows < n_items)).all()
    contract.keeps(
        inside, f"a row outside of the catalogue of {n_items} items", "return rows of the bundle's catalogue"
    )
    contract.keeps(len(np.unique(rows)) == len(rows), "a row comes twice", "propose each item once")
    contract.keeps(np.isfinite(scores).all(), "a score is NaN or infinite", "leave out items without a score")
    contract.keeps((np.diff(scores) <= 0).all(), "scores are not descending", "sort by score, best first")


def check_rule(name: str, rule: Rule, shop: Bundle) -> None:
    """Try a rule on all items, on none, on one, on rows that come twice and in another order."""
    contract, everything = Contract("rules", name), np.arange(len(shop.catalogue), dtype=np.int32)
    cases = {
        "all items": everything,
        "no item": NO_ROWS,
        "one item": everything[:1],
        "a row twice": everything[[3, 3, 1]],
    }
    for asked in queries(shop):
        whole = contract.call("keep(all items)", lambda: rule.keep(asked, everything))  # noqa: B023
        for label, rows in cases.items():
            before = rows.copy()
            kept = contract.call(f"keep({label})", lambda: rule.keep(asked, rows))  # noqa: B023
            is_mask = isinstance(kept, np.ndarray) and kept.dtype == np.bool_
            contract.keeps(
                is_mask, f"keep returned {getattr(kept, 'dtype', type(kept).__name__)}", "return an array of bool"
            )
            contract.keeps(kept.shape == rows.shape, f"{kept.shape} for rows {rows.shape}", "return one bool a row")
            contract.keeps((rows == before).all(), "keep changed the rows it was given", "work on a copy")
            alike = (kept == whole[rows]).all()
            contract.keeps(alike, "the same item is judged differently beside others", "judge each row alone")


def check_ranker(name: str, ranker: Ranker, shop: Bundle) -> None:
    """Try a ranker on candidates of two sources, on one, on none, and in another order."""
    contract, n_items = Contract("rankers", name), len(shop.catalogue)
    random = np.random.default_rng(5)
    for asked in queries(shop):
        for n in (0, 1, 2, n_items):
            rows = np.sort(random.permutation(n_items)[:n]).astype(np.int32)
            scores = random.normal(size=(2, n)).astype(np.float32)
            scores[0, ::2] = np.nan
            order = random.permutation(n)
            given = scores.copy()
            ranked = contract.call(f"rank({n} candidates)", lambda: ranker.rank(asked, rows, scores))  # noqa: B023
            contract.keeps(isinstance(ranked, np.ndarray), f"rank returned {type(ranked).__name__}", "return an array")
            contract.keeps(ranked.dtype == np.float32, f"rank returned {ranked.dtype}", "return float32")
            contract.keeps(ranked.shape == (n,), f"rank returned shape {ranked.shape} for {n} rows", "one score a row")
            finite = np.isfinite(ranked).all()
            contract.keeps(finite, "a score is NaN or infinite", "fill the NaN of sources that did not propose the row")
            contract.keeps(np.array_equal(given, scores, equal_nan=True), "rank changed its input", "work on a copy")
            turned = contract.call("rank(in another order)", lambda: ranker.rank(asked, rows[order], scores[:, order]))  # noqa: B023
            alike = np.allclose(turned, ranked[order], rtol=1e-5, atol=1e-6)
            contract.keeps(alike, "the order of the candidates changes their scores", "score each row by itself")


def check_encoder(name: str, encoder: Encoder, dim: int, rows: int) -> None:
    """Try an encoder on no event, on one, on disliked ones, on a long history and on one of the future."""
    contract, now = Contract("encoders", name), bundles.NOW.timestamp()
    for label, n, weight, age in (
        ("no event", 0, 1.0, 60.0), ("one event", 1, 1.0, 60.0), ("events of weight 0", 3, 0.0, 60.0),
        ("a long history", 500, 2.0, 60.0), ("an old history", 5, 1.0, 4e9), ("an event of now", 1, 1.0, 0.0),
    ):  # fmt: skip
        history = History(
            (np.arange(n) % rows).astype(np.int32), np.full(n, weight, dtype=np.float32), np.full(n, now - age)
        )
        vector = contract.call(f"encode({label})", lambda: encoder.encode(history, now))  # noqa: B023
        if n == 0 or weight == 0.0:
            contract.keeps(vector is None, f"encode({label}) is a vector", "return None where nothing is liked")
        if vector is None:
            continue
        contract.keeps(vector.dtype == np.float32, f"encode returned {vector.dtype}", "return float32")
        contract.keeps(vector.shape == (dim,), f"encode returned shape {vector.shape}", f"return ({dim},)")
        contract.keeps(np.isfinite(vector).all(), f"encode({label}) is not finite", "return None or finite numbers")
        again = encoder.encode(history, now)
        contract.keeps(again is not None and (again == vector).all(), "two calls differ", "keep no state")


def check_model(name: str, fit: Callable[[TrainingData], Embeddings | ItemItem], data: TrainingData) -> None:
    """Fit a model twice."""
    contract = Contract("models", name)
    model, again = contract.call("fit", lambda: fit(data)), contract.call("a second fit", lambda: fit(data))
    known = isinstance(model, Embeddings | ItemItem)
    contract.keeps(known, f"fit returned {type(model).__name__}", "return Embeddings or ItemItem")
    if isinstance(model, ItemItem):
        _check_pairs(contract, model, again, data.n_items)
        return
    vectors, rows = model.vectors, model.rows
    contract.keeps(vectors.dtype == np.float32, f"vectors are {vectors.dtype}", "return float32")
    contract.keeps(len(vectors) == data.n_items, f"{len(vectors)} vectors, {data.n_items} items", "one vector an item")
    contract.keeps(np.isfinite(vectors).all(), "a vector is NaN or infinite", "check the input and the learning rate")
    contract.keeps(rows.dtype == np.int32, f"rows are {rows.dtype}", "return int32")
    contract.keeps((np.diff(rows) > 0).all(), "rows are not ascending", "sort rows, each once")
    contract.keeps(((rows >= 0) & (rows < data.n_items)).all(), "a row is outside of the catalogue", "use data.n_items")
    contract.keeps(vectors[rows].any(axis=1).all(), "a row has a vector of zeros", "leave it out of rows")
    contract.keeps(vectors.tobytes() == again.vectors.tobytes(), "two fits differ", "draw from data.seed")


def _check_pairs(contract: Contract, model: ItemItem, again: ItemItem, n_items: int) -> None:
    indptr, rows, scores = model.indptr, model.rows, model.scores
    dtypes = [indptr.dtype.name, rows.dtype.name, scores.dtype.name]
    contract.keeps(dtypes == ["int64", "int32", "float32"], f"dtypes are {dtypes}", "return int64, int32 and float32")
    whole = indptr.shape == (n_items + 1,) and indptr[0] == 0 and indptr[-1] == len(rows) == len(scores)
    contract.keeps(
        whole and (np.diff(indptr) >= 0).all(), "indptr does not cover the pairs", "use scipy.sparse.csr_matrix"
    )
    contract.keeps(((rows >= 0) & (rows < n_items)).all(), "a row is outside of the catalogue", "use data.n_items")
    contract.keeps(np.isfinite(scores).all(), "a score is NaN or infinite", "leave out pairs without a score")
    owners = np.repeat(np.arange(n_items), np.diff(indptr))
    contract.keeps(not (owners == rows).any(), "an item is a pair with itself", "set the diagonal to 0")
    contract.keeps(len(np.unique(owners * n_items + rows)) == len(rows), "a pair comes twice", "sum them")
    wanted = {"half_life_days", "last", "place_decay"}
    contract.keeps(set(model.params) == wanted, f"params are {sorted(model.params)}", f"give {sorted(wanted)}")
    contract.keeps(scores.tobytes() == again.scores.tobytes(), "two fits differ", "draw from data.seed")
