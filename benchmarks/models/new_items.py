"""Ways to recommend items that nobody met yet: NDCG@10 among new items only, for users who liked something before.

    python -m benchmarks.models.new_items WORKSPACE    where `dvc repro split` has run; writes
                                                benchmarks/results/new_items_<data set>.json

With a split by time the new items are those whose first event lies in the window, valid and test apart. Otherwise they
are a fifth of all items, held out with all their events, five times; the mean of the five folds is reported.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from scipy.sparse import csr_matrix

from benchmarks import provenance
from recsys import params
from recsys.bundle.embeddings import encoder_of
from recsys.bundle.items import item_features
from recsys.contracts import Embeddings, FloatArray, History, IntArray, TrainingData, epoch_seconds
from recsys.data import split as splits
from recsys.data.split import ScoredFold, Split
from recsys.evaluation import metrics
from recsys.evaluation.metrics import Ragged
from recsys.models._content.neighbours import means
from recsys.params import Params, extensions

FOLDS = 5
RIDGE = 10.0
HIDDEN, EPOCHS, BATCH, RATE = 128, 30, 256, 1e-3

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """Users with a like before, and what they liked of the new items: new (m,) rows, targets by user, nows in UTC s."""

    data: TrainingData
    new: IntArray
    histories: list[History]
    nows: list[float]
    targets: Ragged

    def of_users(self, model: Embeddings) -> FloatArray:
        """(n_users, dim) float32, zeros where the model has no say."""
        encoder, none = encoder_of(model), np.zeros(model.vectors.shape[1], dtype=np.float32)
        found = [encoder.encode(history, now) for history, now in zip(self.histories, self.nows, strict=True)]
        return np.stack([none if vector is None else vector for vector in found])

    def likes(self) -> csr_matrix:
        """(n_users, n_items) ones."""
        rows = [np.unique(history.rows[history.weights > 0]) for history in self.histories]
        indptr = np.concatenate([[0], np.cumsum([len(one) for one in rows])])
        return csr_matrix((np.ones(indptr[-1]), np.concatenate(rows), indptr), (len(rows), self.data.n_items))


def main(workspace: Path) -> None:
    """Measure every way on every case, print a line each, write all."""
    settings, split = params.load(workspace / "params.yaml"), splits.load(workspace / "data/split")
    origin = provenance.describe()
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    for window, case in cases(split, settings.seed):
        table = figures.setdefault(window, {})
        for name, way in ways(settings).items():
            start = perf_counter()
            value, seconds = ndcg(way(case), case, settings.seed), perf_counter() - start
            line = table.setdefault(name, {"ndcg@10": [], "seconds": []})
            line["ndcg@10"].append(value)
            line["seconds"].append(seconds)
            print(f"{window} {name}: {value:.4f} in {seconds:.1f} s, {len(case.new)} new items", flush=True)
    means_of = {
        window: {
            name: {key: round(float(np.mean(values)), 4) for key, values in line.items()}
            for name, line in table.items()
        }
        for window, table in figures.items()
    }
    provenance.write(f"new_items_{settings.dataset}", origin, {"windows": means_of})


def cases(split: Split, seed: int) -> Iterator[tuple[str, Case]]:
    """(name of the window, case); cases of one name are averaged."""
    if split.facts.protocol == "global_time":
        windows: tuple[ScoredFold, ...] = ("valid", "test")
        for fold in windows:
            targets = split.targets(fold)
            arrived = np.intersect1d(split.cold_items(fold), targets["item_row"].to_numpy())
            yield fold, _case(split, split.training(fold, seed, 1), arrived, targets)
        return
    order = np.random.default_rng(seed).permutation(split.catalogue.height)
    everything = split.training("all", seed, 1)
    for held in np.array_split(order, FOLDS):
        of_held = pl.col("item_row").is_in(pl.Series(held.astype(np.int32)).implode())
        events = everything.interactions
        liked = events.filter(of_held, pl.col("event").is_in(split.facts.target_events))
        targets = liked.select("user_row", "item_row").unique().sort("user_row", "item_row")
        data = replace(everything, events=events.filter(~of_held).lazy())
        yield f"{FOLDS} folds", _case(split, data, np.sort(held), targets)


def _case(split: Split, data: TrainingData, new: npt.NDArray[np.integer], targets: pl.DataFrame) -> Case:
    told = data.interactions.filter(pl.col("weight") > 0)["user_row"].unique()
    mine = targets.filter(
        pl.col("item_row").is_in(pl.Series(new.astype(np.int32)).implode()), pl.col("user_row").is_in(told.implode())
    )
    users = mine["user_row"].unique().sort().to_numpy()
    by_user = data.interactions.filter(pl.col("user_row").is_in(pl.Series(users).implode()))
    histories = [
        History(part["item_row"].to_numpy(), part["weight"].to_numpy(), epoch_seconds(part["timestamp"]))
        for part in by_user.partition_by("user_row", maintain_order=True)
    ]
    own_clock = split.facts.query_time == "last_event"
    nows = [float(history.times[-1]) if own_clock else data.now for history in histories]
    owners = np.searchsorted(users, mine["user_row"].to_numpy())
    wanted = Ragged.of(owners, mine["item_row"].to_numpy(), len(users))
    return Case(data, new.astype(np.int32), histories, nows, wanted)


def ndcg(scores: Scores, case: Case, seed: int) -> float:
    """Mean over the users; scores: (n_users, n_new). Ties are broken at random."""
    order = np.random.default_rng(seed).permutation(len(case.new))
    best = order[np.argsort(-scores[:, order], axis=1, kind="stable")[:, :10]]
    return float(metrics.ndcg(metrics.hits(case.new[best], case.targets), case.targets.lengths).mean())


def ways(settings: Params) -> dict[str, Callable[[Case], Scores]]:
    """Name -> scores (n_users, n_new) of a case."""
    return {
        "random": lambda case: np.zeros((len(case.histories), len(case.new))),
        "kNN, words of the title": lambda case: _nearest(case, "title"),
        "kNN, words of title and text": lambda case: _nearest(case, "words"),
        "kNN, all content": lambda case: _nearest(case, "all"),
        "ALS: mean of items of alike words": lambda case: _in_als(case, settings, _alike),
        "ALS: ridge from content": lambda case: _in_als(case, settings, _ridge),
        "ALS: network from content": lambda case: _in_als(case, settings, _network),
        "content, without the softmax": lambda case: _shipped(case, settings, epochs=0),
        "content, at most 4 epochs of the softmax": lambda case: _shipped(case, settings, epochs=4),
    }


def _nearest(case: Case, what: str) -> Scores:
    content = _content(case.data, what)
    scores: Scores = (case.likes() @ content @ content[case.new].T).toarray()
    return scores


def _content(data: TrainingData, what: str) -> csr_matrix:
    """(n_items, n_terms), rows of unit length, or empty."""
    items = data.catalogue if what != "title" else data.catalogue.with_columns(text=pl.lit(""))
    found, n_terms = _features(data, items)
    matrix = found.terms if what == "all" else found.words
    plain = csr_matrix((matrix.values, matrix.columns, matrix.indptr), (data.n_items, n_terms))
    lengths = np.sqrt(np.bincount(np.repeat(np.arange(data.n_items), np.diff(plain.indptr)), plain.data**2))
    plain.data /= np.repeat(np.resize(lengths, data.n_items), np.diff(plain.indptr))
    return plain


def _features(data: TrainingData, items: pl.DataFrame) -> tuple[item_features.Content, int]:
    known = _popularity(data) > 0
    learned = item_features.fit(items.filter(known), static=False)
    return learned.of(items), learned.n_terms


def _popularity(data: TrainingData) -> npt.NDArray[np.int64]:
    liked = data.interactions.filter(pl.col("weight") > 0).unique(["user_row", "item_row"])
    return np.bincount(liked["item_row"].to_numpy(), minlength=data.n_items)


def _in_als(case: Case, settings: Params, place: Callable[[TrainingData, Embeddings], FloatArray]) -> Scores:
    als = extensions.load("models", "als")
    model: Embeddings = als.fit(case.data, als.Config(**settings.model("als")))
    scores: Scores = case.of_users(model) @ place(case.data, model)[case.new].T
    return scores


def _alike(data: TrainingData, model: Embeddings) -> FloatArray:
    content, n_terms = _features(data, data.catalogue)
    return means(content.words, n_terms, model.rows, model.vectors)


def _ridge(data: TrainingData, model: Embeddings) -> FloatArray:
    content, known = _content(data, "all"), model.rows
    gram = (content[known].T @ content[known]).toarray() + RIDGE * np.eye(content.shape[1])
    weights = np.linalg.solve(gram, content[known].T @ model.vectors[known])
    placed: FloatArray = (content @ weights).astype(np.float32)
    return placed


def _network(data: TrainingData, model: Embeddings) -> FloatArray:
    """One hidden layer; a squared error counts the root of the item's popularity."""
    torch.manual_seed(data.seed)
    content = torch.from_numpy(_content(data, "all").toarray().astype(np.float32))
    targets = torch.from_numpy(np.array(model.vectors))
    counts = torch.from_numpy(np.sqrt(_popularity(data)).astype(np.float32))
    net = torch.nn.Sequential(
        torch.nn.Linear(content.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, targets.shape[1])
    )
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    for _ in range(EPOCHS):
        shuffled = torch.from_numpy(model.rows.astype(np.int64))[torch.randperm(len(model.rows))]
        for batch in shuffled.split(BATCH):  # type: ignore[no-untyped-call]
            error = ((net(content[batch]) - targets[batch]) ** 2).sum(dim=1)
            optimizer.zero_grad()
            ((counts[batch] * error).sum() / counts[batch].sum()).backward()
            optimizer.step()
    with torch.no_grad():
        placed: FloatArray = net(content).numpy()
    return placed


def _shipped(case: Case, settings: Params, epochs: int) -> Scores:
    content = extensions.load("models", "content")
    model: Embeddings = content.fit(case.data, content.Config(**{**settings.model("content"), "epochs": epochs}))
    scores: Scores = case.of_users(model) @ model.vectors[case.new].T
    return scores


if __name__ == "__main__":
    main(Path(sys.argv[1]))
