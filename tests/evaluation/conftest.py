"""A small made-up evaluation: 60 users, 40 items, lists that are better than others by construction."""

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from recsys.evaluation import results, segments
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import Segment
from recsys.params import EvaluateParams
from tests.support import bundles

N_USERS, N_ITEMS, K = 60, 40, 6


@pytest.fixture(scope="package")
def sample() -> Sample:
    """Users 0-19 have 8 known events, 20-39 have 2, the others none; items 30-39 are new, and 39 never arrives."""
    rng = np.random.default_rng(4)
    histories = [rng.permutation(30)[:n] for n in np.repeat([8, 2, 0], 20)]
    targets = [np.sort(rng.permutation(N_ITEMS - 1)[:4]) for _ in range(N_USERS)]
    popularity = np.where(np.arange(N_ITEMS) < 30, rng.integers(1, 40, N_ITEMS), 0)
    content = csr_array(np.eye(4)[np.arange(N_ITEMS) % 4])
    return Sample(
        fold="test",
        users=np.arange(N_USERS, dtype=np.int32),
        targets=ragged(targets),
        histories=ragged(histories),
        liked=np.repeat([8, 2, 0], 20),
        idle_days=np.repeat([40.0, 1.0, np.nan], 20),
        known_events=np.where(np.arange(N_ITEMS) < 30, np.arange(N_ITEMS) + 1, 0),
        arrived=(np.arange(N_ITEMS) >= 30) & (np.arange(N_ITEMS) < 39),
        popularity=popularity.astype(np.float32),
        n_fitted=40,
        age=np.arange(4 * N_USERS) % 10 / 10,
        window_days=20.0,
        content=content,
    )


@pytest.fixture(scope="package")
def settings() -> EvaluateParams:
    """New users are told 0, 1 or 3 items; 30 days without an event are long; 5 events are many."""
    return bundles.settings().evaluate


@pytest.fixture(scope="package")
def parts(sample: Sample, settings: EvaluateParams) -> list[Segment]:
    """All segments of the sample."""
    return segments.build(sample, settings)


@pytest.fixture(scope="package")
def lists(sample: Sample) -> dict[str, np.ndarray]:
    """`popular` finds nothing by intent, `model` finds one target first for every user, `empty` says nothing."""
    rng = np.random.default_rng(5)
    popular = np.stack([rng.permutation(N_ITEMS)[:K] for _ in range(N_USERS)]).astype(np.int32)
    first = sample.targets.rows[sample.targets.indptr[:-1]]
    model = np.stack([[row, *(r for r in others if r != row)][:K] for row, others in zip(first, popular, strict=True)])
    return {"popular": popular, "model": model.astype(np.int32), "empty": np.full((N_USERS, K), -1, dtype=np.int32)}


@pytest.fixture(scope="package")
def table(every: pl.DataFrame) -> pl.DataFrame:
    """Its part with the differences to `popular`."""
    return results.against(every, "popular")


@pytest.fixture(scope="package")
def every(sample: Sample, lists: dict[str, np.ndarray], parts: list[Segment]) -> pl.DataFrame:
    """The table of results of those lists at 3 and 6; every question got the same lists."""
    asked = {name: {part.mode: rows for part in parts} for name, rows in lists.items()}
    return results.measure(asked, sample, parts, [3, 6], ["popular", "empty"], Bootstrap(300, 0.95, 1))


def ragged(rows: list[np.ndarray]) -> Ragged:
    """One array of rows per user."""
    return Ragged(np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int32))
