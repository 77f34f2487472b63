"""A made-up data set that was split, and its bundle with a model: what an evaluation starts from, small."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import FloatArray
from recsys.data.split import Split
from recsys.evaluation import sample
from recsys.evaluation.sample import Sample
from tests.data import made_split, test_split_protocols
from tests.support import bundles

N_ITEMS, N_USERS = 40, 80


@dataclass(frozen=True)
class World:
    """See `make`."""

    split: Split
    bundle: Bundle
    sample: Sample


def make(folder: Path, seed: int, vectors: Callable[[int], FloatArray], max_users: int = 10_000) -> World:
    """80 users who like items the more the lower their number; `vectors(n_items)` are the model's, in row order.

    The users with the highest numbers come late, so some are cold.
    """
    rng = np.random.default_rng(3)
    liked = np.minimum(rng.geometric(0.12, 1500) - 1, N_ITEMS - 1)
    minutes = np.sort(rng.integers(0, 10_000, 1500))
    users = (rng.random(1500) * (40 + minutes / 250)).astype(int)
    events = list(zip(users.tolist(), liked.tolist(), minutes.tolist(), strict=True))
    items = test_split_protocols.items(N_ITEMS)
    split = made_split.make(test_split_protocols.table(events), items, test_split_protocols.params(), seed)
    bundles.model(vectors(N_ITEMS), folder / "model")
    models = {"als": (folder / "model", folder / "model")}
    parts = bundle.Parts(split.fit_rows("test"), split.catalogue, split.users, split.now("test"), models)
    bundle.write(parts, bundles.settings(), {}, folder / "bundle")
    loaded = bundle.load(folder / "bundle")
    return World(split, loaded, sample.draw(split, "test", loaded.catalogue.popularity, max_users, seed))
