"""A content model: predicts an item's vector from its content, so that new items have a vector at once.

1. The space: a truncated SVD of the likes (`_content/svd_space.py`). A user's vector is pooled from the history.
2. The tower: the mean vector of items with similar words, plus what the vector that the data supply for an item
   predicts beyond it (`_content/ridge.py`), corrected by a small network (`_content/tower.py`), which is fitted by
   regression to the SVD vectors of items with likes. 3. An item with n likes gets a mean of its SVD vector, with the
   weight n / (n + 5), and the tower's vector. The difference to the tower's is its id vector. 4. Tower and id vectors
   are trained on whole histories with a softmax loss (`_content/training.py`). The number of epochs, possibly 0, is
   chosen on the last tenth of every user's likes, with a tenth of the items treated as new; then the model is trained
   again on all data.
"""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from recsys.bundle.items import item_features
from recsys.bundle.items.item_features import Content, Features
from recsys.contracts import Embeddings, FloatArray, IntArray, TrainingData
from recsys.models._content import ridge, svd_space, validation
from recsys.models._content.neighbours import means
from recsys.models._content.torchrun import run
from recsys.models._content.training import Trained
from recsys.models._content.training_inputs import Settings, TrainingInputs
from recsys.params import Section

if TYPE_CHECKING:
    from optuna import Trial

PRIOR_LIKES = 5.0
REFERENCE_ITEMS = 5_000  # the most liked items, with whose texts those of an item are compared


class Config(Section):
    """factors: length of the vectors; half_life_days: age at which a like counts half; popularity: the exponent p of
    `_content/svd_space.py`: the higher, the less a like of a popular item counts; hidden: width of the network;
    wordllama: also use static embeddings of the texts (by the package `wordllama`, which the API then needs too).

    epochs: maximum number of epochs of step 4, 0 skips it; patience: number of epochs without a better validation score
    after which it ends; id_dropout: share of items whose id vector is dropped in a batch; negatives: approximate number
    of negatives in a batch; batch_users: number of users in a batch; device: of torch, such as "cpu" or "cuda:0";
    processes: number of processes of a host that train together under torchrun; checkpoint: folder for checkpoints,
    from which an interrupted training continues, None for no checkpoints.
    """

    factors: int = Field(ge=2, le=1024)
    half_life_days: float = Field(gt=0)
    popularity: float = Field(0.25, ge=0, le=0.5)
    hidden: int = Field(128, ge=1, le=4096)
    wordllama: bool = False
    epochs: int = Field(4, ge=0)
    patience: int = Field(1, ge=1)
    id_dropout: float = Field(0.5, ge=0, le=1)
    negatives: int = Field(2048, ge=1)
    batch_users: int = Field(256, ge=1)
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    processes: int = Field(1, ge=1, le=64)
    checkpoint: str | None = None


IN_TRIALS = {"epochs": 0}  # fixed in `recsys tune`: `fit` chooses the number of epochs by its own validation


def suggest(trial: "Trial") -> dict[str, Any]:
    """Suggest the settings for one trial of `recsys tune`."""
    half_life = trial.suggest_float("half_life_days", 0.05, 10_000, log=True)
    return {
        "factors": trial.suggest_int("factors", 32, 160, step=32),
        "half_life_days": float(f"{half_life:.2g}"),
        "popularity": round(trial.suggest_float("popularity", 0.1, 0.5, step=0.05), 2),
    }


def fit(data: TrainingData, config: Config) -> Embeddings:
    """Fit vectors of all items with a like or with content; the same data and seed give the same bytes.

    Raises:
        DataError: see `_content/svd_space.py`.
    """
    matrix = svd_space.confidence(data, config.half_life_days)
    liked = np.diff(matrix.tocsc().indptr) > 0
    learned = item_features.fit(data.catalogue.filter(liked), config.wordllama)
    content = learned.of(data.catalogue)
    mean, brought = item_features.supplied_mean(data.catalogue.filter(liked)), None
    if mean is not None:
        brought = item_features.supplied_vectors(data.catalogue, mean)
        content = replace(content, described=content.described | brought.any(axis=1))
    print(f"content: {len(learned.words)} words, {len(learned.categories)} categories", file=sys.stderr)
    settings = Settings(seed=data.seed, **config.model_dump(include={*Settings.__dataclass_fields__}))
    if config.epochs:
        held_out = validation.hold_out(data)
        learning = svd_space.confidence(replace(data, events=held_out.learning.lazy()), config.half_life_days)
        asked, wanted = held_out.histories_and_targets(learning)
        examined = _job(learning, learned, content, config, data.seed, brought)[0]
        examined = replace(examined, asked=asked, wanted=wanted, hidden=held_out.hidden)
        settings = replace(settings, epochs=run(examined, settings, "exam", config.processes).best_epochs)
    job, by_brought = _job(matrix, learned, content, config, data.seed, brought)
    trained = run(job, settings, "fit", config.processes)
    model = _embeddings(job, trained, learned, content, config.half_life_days)
    if mean is None or brought is None:
        return model
    gained = {"brought": brought, "brought_mean": mean, "brought_weights": trained.weights["gain"] * by_brought}
    return replace(model, arrays={**model.arrays, **gained})


def _job(
    matrix: csr_matrix, learned: Features, content: Content, config: Config, seed: int, brought: FloatArray | None
) -> tuple[TrainingInputs, FloatArray]:
    """Return the inputs of the training, and the coefficients of `ridge.fit`. brought: the result of
    `supplied_vectors`; if it is None, there are no coefficients."""
    places = svd_space.fit(matrix, config.factors, config.popularity, seed)
    known, trust = places.users > 0, places.users / (places.users + PRIOR_LIKES)
    typical = np.average(places.informativeness[known], weights=places.users[known])
    nobody = csr_matrix((0, matrix.shape[1]), dtype=np.float32)
    neighbours = means(content.words, len(learned.words), _most_liked(places.users), places.vectors)
    pull = np.where(known, np.maximum(places.users, 1) ** 0.25, 0).astype(np.float32)
    by_brought = np.empty((0, places.vectors.shape[1]), dtype=np.float32)
    if brought is not None:
        by_brought, beyond = ridge.fit(brought, places.vectors - neighbours, pull)
        neighbours = neighbours + beyond
    inputs = TrainingInputs(
        terms=content.terms,
        n_terms=learned.n_terms,
        static=content.static,
        neighbours=neighbours,
        targets=places.vectors,
        pull=pull,
        trust=trust.astype(np.float32),
        informativeness=(trust * places.informativeness + (1 - trust) * typical).astype(np.float32),
        events=matrix,
        asked=nobody,
        wanted=nobody,
        hidden=np.zeros(matrix.shape[1], dtype=np.bool_),
    )
    return inputs, by_brought


def _most_liked(users: FloatArray) -> IntArray:
    """Return the rows of the `REFERENCE_ITEMS` most liked items that have a like, (r,) int32 ascending."""
    order = np.argsort(-users, kind="stable")[: min(REFERENCE_ITEMS, int((users > 0).sum()))]
    return np.sort(order).astype(np.int32)


def _embeddings(
    job: TrainingInputs, trained: Trained, learned: Features, content: Content, half_life_days: float
) -> Embeddings:
    known = job.trust > 0
    vectors = np.where(content.described[:, None], trained.content, 0) + trained.ids
    vectors[~known & ~content.described] = 0
    rows = _most_liked(job.trust)
    reference = content.words.take(rows)
    tower = {key: value for key, value in trained.weights.items() if key != "gain"}
    return Embeddings(
        vectors=vectors.astype(np.float32),
        rows=np.flatnonzero(known | content.described).astype(np.int32),
        encoder="content",
        params={
            "features": learned.settings(),
            "half_life_days": half_life_days,
            "told_of_new": float(np.mean(job.informativeness if known.all() else job.informativeness[~known][:1])),
        },
        arrays={
            "told": job.informativeness,
            **learned.arrays(),
            **tower,
            "reference_counts": np.diff(reference.indptr).astype(np.float32),
            "reference_columns": reference.columns.astype(np.float32),
            "reference_values": reference.values,
            "reference_vectors": trained.weights["gain"] * job.targets[rows],
        },
    )
