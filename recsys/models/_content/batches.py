"""Draws training batches of users: a random part of each history is pooled, the likes in the rest are the targets.

Negatives are drawn by popularity. All randomness follows from the seed, the epoch and the users of the whole batch, so
every process of a group draws the same batch and takes its share of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from scipy.sparse import csr_matrix
from torch import nn

from recsys.contracts import BoolArray, FloatArray, IntArray
from recsys.models._content.training_inputs import Settings, TrainingInputs

USERS_AN_EPOCH = 16_384
LEAST_SHARE, MOST_SHARE = 0.05, 0.8  # of a history to pool


class ProcessGroup:
    """The processes that train together. rank: number of this process, from 0; size: number of processes. Each process
    takes its share of every batch, and the gradients are summed. The losses of the shares add up to the loss of the
    batch, so two processes take the same steps as a single one, up to the order of float additions."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self._rank = rank
        self._size = size

    @property
    def leads(self) -> bool:
        """Whether this process writes the output of the group."""
        return self._rank == 0

    def share(self, rows: IntArray) -> IntArray:
        """Return the part of `rows` that this process works on."""
        return rows[self._rank :: self._size]

    def add_up(self, module: nn.Module) -> None:
        """Replace the gradients of a module by their sum over all processes."""
        if self._size == 1:
            return
        for parameter in module.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)


@dataclass(frozen=True)
class Batch:
    """The share of a batch that one process works on: b users, r items, s negatives and t likes as targets.

    rows: (r,) int32, catalogue rows of the items; a position of an item, below, is an index into `rows`; pull: (r,)
    float32, weights of the penalty for leaving the SVD vectors; keep_ids: (r,) float32, 0 where the id vector is
    dropped, else 1; histories: (b, r) float32, weights of the items in each user's vector; negatives: (s,) int64
    positions of items; corrections: (b, s) float32, -log of the probability that the negative is drawn, -inf where the
    user's pooled history has the item. Of the targets: owners: (t,) int64 positions of users; wanted: (t,) int64
    positions of items; wanted_is_negative: (t,) bool, whether the item was also drawn as a negative; weights: (t,)
    float32. pull and weights each add up to 1 over the shares of all processes.
    """

    rows: IntArray
    pull: FloatArray
    keep_ids: FloatArray
    histories: FloatArray
    negatives: npt.NDArray[np.int64]
    corrections: FloatArray
    owners: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]
    wanted_is_negative: BoolArray
    weights: FloatArray


def epoch(job: TrainingInputs, settings: Settings, number: int) -> Iterator[IntArray]:
    """Yield the batches of users of epoch `number`: users with two or more likes, at random, at most USERS_AN_EPOCH."""
    users = np.flatnonzero(np.diff(job.events.indptr) > 1)
    users = np.random.default_rng([settings.seed, number]).permutation(users)[:USERS_AN_EPOCH]
    if len(users):
        for batch in np.array_split(users, -(-len(users) // settings.batch_users)):
            yield batch.astype(np.int32)


def draw(job: TrainingInputs, settings: Settings, users: IntArray, number: int, team: ProcessGroup) -> Batch:
    """Draw the batch of these users in epoch `number`; return the share of this process."""
    random = np.random.default_rng([settings.seed, number, int(users[0])])
    liked = job.events[users]
    known, wanted = _cut(liked, random)
    drawn = _inclusion(job, settings.negatives)
    negatives = np.flatnonzero(random.random(len(drawn)) < drawn).astype(np.int32)
    rows = np.unique(np.concatenate([negatives, liked.indices])).astype(np.int32)
    keep = (random.random(len(job.informativeness)) >= settings.id_dropout)[rows]
    n_wanted = np.diff(wanted.indptr)
    total = np.repeat(np.asarray(wanted.sum(axis=1)).ravel(), n_wanted)
    weights = wanted.data / np.sqrt(np.maximum(total, 1e-12))
    weights = weights / max(float(weights.sum()), 1e-12)
    mine = team.share(np.arange(len(users), dtype=np.int32))
    owned = np.isin(np.repeat(np.arange(len(users)), n_wanted), mine)
    known, wanted = known[mine], wanted[mine]
    corrections = np.tile(-np.log(drawn[negatives]), (len(mine), 1))
    corrections[known[:, negatives].toarray() > 0] = -np.inf
    pull = np.zeros(len(rows), dtype=np.float32)
    anchored = team.share(np.arange(len(rows), dtype=np.int32))
    pull[anchored] = job.pull[rows[anchored]] / max(float(job.pull[rows].sum()), 1e-12)
    return Batch(
        rows=rows,
        pull=pull,
        keep_ids=keep.astype(np.float32),
        histories=pooling(known, job.informativeness)[:, rows].toarray(),
        negatives=np.searchsorted(rows, negatives),
        corrections=corrections.astype(np.float32),
        owners=np.repeat(np.arange(len(mine)), np.diff(wanted.indptr)),
        wanted=np.searchsorted(rows, wanted.indices),
        wanted_is_negative=np.isin(wanted.indices, negatives),
        weights=weights[owned].astype(np.float32),
    )


def _cut(liked: csr_matrix, random: np.random.Generator) -> tuple[csr_matrix, csr_matrix]:
    """Split each history at random into a pooled part and targets; a user without a pooled part gets no targets."""
    counts = np.diff(liked.indptr)
    share = random.uniform(0, 1, len(counts)).clip(LEAST_SHARE, MOST_SHARE)
    pooled = random.random(liked.nnz) < np.repeat(share, counts)
    owners = np.repeat(np.arange(len(counts)), counts)
    empty = np.bincount(owners[pooled], minlength=len(counts)) == 0
    return _masked(liked, pooled), _masked(liked, ~pooled & ~empty[owners])


def _masked(matrix: csr_matrix, keep: BoolArray) -> csr_matrix:
    owners = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[keep]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=matrix.shape[0]))])
    return csr_matrix((matrix.data[keep], matrix.indices[keep], indptr), shape=matrix.shape)


def pooling(known: csr_matrix, informativeness: FloatArray) -> csr_matrix:
    """Return (m, n), the weights c_i h_i / |c| by which the vectors of items add up to a user's vector, see
    `recsys/encoders/content.py`. known: (m, n), the confidences c of m users; informativeness: (n,) float32, h."""
    owners = np.repeat(np.arange(known.shape[0]), np.diff(known.indptr))
    lengths = np.sqrt(np.bincount(owners, known.data.astype(np.float64) ** 2, minlength=known.shape[0]))
    values = known.data * informativeness[known.indices] / lengths[owners]
    return csr_matrix((values.astype(np.float32), known.indices, known.indptr), shape=known.shape)


def _inclusion(job: TrainingInputs, negatives: int) -> npt.NDArray[np.float64]:
    """Return the probability of each item to be drawn as a negative, (n,), proportional to the root of its likes."""
    popularity = np.sqrt(np.bincount(job.events.indices, minlength=len(job.informativeness)).astype(np.float64))
    probability: npt.NDArray[np.float64] = np.minimum(1.0, negatives * popularity / popularity.sum())
    return probability
