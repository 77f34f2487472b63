"""Partitions item vectors into lists for approximate search by inner product.

Plain k-means cells suit inner products badly: the best items of a query are those in its direction, but also those with
long vectors, so they lie in many cells. Two changes reduce the share of lists to search from a half to a few percent:

- Items are first cut into bands by the length of their vectors, which halves from band to band, and then by direction.
  Source: Yan et al., "Norm-ranging LSH for maximum inner product search", NeurIPS 2018.
- Lists are ordered not by their mean alone but by the likely score of their best item, q.mean + SPREAD |q| sigma, where
  sigma is the standard deviation within the list, as root mean square over the dimensions. This is an inner product
  too, with one more dimension: SPREAD sigma for the centre, |q| for the query, 0 for the items.
"""

import faiss
import numpy as np
import numpy.typing as npt

from recsys.contracts import FloatArray

BANDS = 12
SPREAD = 2.5  # the expected largest of about a hundred standard normal numbers
ITERATIONS = 10
WIDTH = 8  # faiss searches fp16 fastest if the length of the vectors is a multiple of this


def partition(vectors: FloatArray, seed: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Cut (n, dim) float32 vectors into about 2 sqrt(n) lists. Returns the number of each vector's list, (n,) int64,
    and the centres of the lists, (n_lists, dim + 1 or more) as `padded` returns them."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), np.finfo(np.float32).tiny)
    bands = np.minimum(np.log2(lengths.max() / lengths).astype(np.int64), BANDS - 1)
    lists = np.empty(len(vectors), dtype=np.int64)
    n_lists = 0
    for band in np.unique(bands):
        members = np.flatnonzero(bands == band)
        wanted = int(np.ceil(2 * len(members) / np.sqrt(len(vectors))))
        lists[members] = n_lists + _directions(vectors[members] / lengths[members, None], wanted, seed)
        n_lists += wanted
    return lists, _centres(vectors, lists, n_lists)


def padded(vectors: FloatArray, extra: float | FloatArray) -> FloatArray:
    """Append `extra` to each of the vectors, (m, dim), and zeros up to a length that is a multiple of `WIDTH`."""
    n, dim = vectors.shape
    wide = np.zeros((n, -(-(dim + 1) // WIDTH) * WIDTH), dtype=np.float32)
    wide[:, :dim] = vectors
    wide[:, dim] = extra
    return wide


def _directions(unit: FloatArray, k: int, seed: int) -> npt.NDArray[np.int64]:
    """Cut vectors of unit length into k clusters by direction; return the number of each vector's cluster."""
    means = faiss.Kmeans(unit.shape[1], k, niter=ITERATIONS, seed=seed, spherical=True, min_points_per_centroid=1)
    means.train(unit)
    nearest: npt.NDArray[np.int64] = means.index.search(unit, 1)[1][:, 0]
    return nearest


def _centres(vectors: FloatArray, lists: npt.NDArray[np.int64], n_lists: int) -> FloatArray:
    sizes = np.maximum(np.bincount(lists, minlength=n_lists), 1)
    sums = np.stack([np.bincount(lists, column, minlength=n_lists) for column in vectors.T], axis=1)
    means = sums / sizes[:, None]
    squares = np.bincount(lists, np.square(vectors - means[lists]).sum(axis=1), minlength=n_lists)
    sigma = np.sqrt(squares / sizes / vectors.shape[1])
    return padded(means.astype(np.float32), (SPREAD * sigma).astype(np.float32))
