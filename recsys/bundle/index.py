"""Finds the items nearest to a vector by inner product with faiss, and the items similar to an item by cosine.

Up to about 20,000 items exact search is the fastest. The vectors of larger catalogues, in fp16, are partitioned into
lists, see `recsys/bundle/ivf_lists.py`; a query searches `nprobe` of the lists. nprobe is raised until recall against
exact search reaches the setting `index.min_recall`; if it never does, the build fails.

    index.faiss   the index         index.json   the `Report`
"""

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from recsys.bundle.ivf_lists import padded, partition
from recsys.contracts import NO_CANDIDATES, Candidates, Embeddings, FloatArray, IntArray
from recsys.errors import BundleError, GateError
from recsys.params import IndexParams, Section
from recsys.ranking import top_k

INDEX, REPORT = "index.faiss", "index.json"
BLOCK = 1 << 16  # vectors whose lengths are computed at once: all at once would need as much memory again


class Report(Section):
    """The type, size and measured recall of an index. kind: "exact" or "ivf_fp16"; n: number of vectors; dim: their
    length; nlist: number of lists, 0 if exact; nprobe: number of lists that are searched; recall: the share of the true
    nearest `recall_at` items that the index finds."""

    kind: str
    n: int
    dim: int
    nlist: int
    nprobe: int
    recall: float
    recall_at: int


class Index:
    """A faiss index that returns catalogue rows. rows: (n_known,) int32, the row of each vector of the faiss index."""

    def __init__(self, index: faiss.Index, rows: IntArray, report: Report) -> None:
        self.faiss_index = index
        self._rows = rows
        self.report = report
        self._items: FloatArray | None = None
        if isinstance(index, faiss.IndexFlatIP) and index.ntotal:
            self._items = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)

    def search(self, vector: FloatArray, n: int) -> tuple[IntArray, FloatArray]:
        """Return the rows (m,) int32 and inner products (m,) float32 of the n items nearest to a vector, best first.
        vector: (dim,) float32. m is below n if the index, or the part of it that is searched, has fewer items."""
        n = min(n, len(self._rows))
        if not n:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        if self._items is not None:  # one matrix product: half the time of faiss's search
            inner = self._items @ vector
            best = top_k(inner, n)
            return self._rows.take(best), inner.take(best)
        scores, positions = self.faiss_index.search(_query(vector[None, :], self.faiss_index), n, params=self._depth(n))
        if positions[0, -1] < 0:  # -1: the lists that were searched hold fewer than n items
            n = int(np.count_nonzero(positions[0] >= 0))
        return self._rows.take(positions[0, :n]), scores[0, :n]

    def _depth(self, n: int) -> faiss.SearchParametersIVF | None:
        """Return how many lists to search for n items; None for an exact index. Where n exceeds the number of items
        that recall was measured at, the number of lists grows in proportion."""
        if not self.report.nlist:
            return None
        wanted = -(-self.report.nprobe * n // self.report.recall_at)
        depth = faiss.SearchParametersIVF()
        depth.nprobe = min(max(wanted, self.report.nprobe), self.report.nlist)
        return depth

    def save(self, folder: Path) -> None:
        """Write the index and its report into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self.faiss_index, str(folder / INDEX))
        (folder / REPORT).write_text(self.report.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, rows: IntArray) -> "Index":
        """Memory-map an index that `save` wrote. rows: the `rows` of the embeddings that the index was built from.

        Raises:
            BundleError: "models/als/index.faiss: not a readable index (...); run `dvc repro` to build it"
        """
        # a request is one query: more threads would only compete with those of other workers
        faiss.omp_set_num_threads(1)
        try:
            index = faiss.read_index(str(folder / INDEX), faiss.IO_FLAG_MMAP_IFC)
            report = Report.model_validate_json((folder / REPORT).read_text(encoding="utf-8"))
        except (RuntimeError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"{folder / INDEX}: not a readable index ({reason}); run `dvc repro` to build it"
            ) from error
        return cls(index, rows, report)


def build(
    vectors: FloatArray,
    rows: IntArray,
    params: IndexParams,
    seed: int,
    queries: FloatArray | None = None,
    threads: int = 1,
) -> Index:
    """Build the index of a model. vectors: (n_items, dim) float32; rows: (n_known,) int32, the items to index.

    queries: (m, dim) float32, vectors of users to measure recall with; None: a sample of the items' vectors.

    Raises:
        GateError: "index: recall@100 is 0.951 with all 400 lists searched, expected index.min_recall 0.98; ..."
    """
    faiss.omp_set_num_threads(threads)
    known = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    n, dim = known.shape
    at = min(params.recall_at, n)
    exact = faiss.IndexFlatIP(dim)
    exact.add(known)
    if n <= params.exact_up_to:
        return Index(exact, rows, Report(kind="exact", n=n, dim=dim, nlist=0, nprobe=0, recall=1.0, recall_at=at))
    index = _inverted_lists(known, seed)
    if queries is None:
        queries = known[np.random.default_rng(seed).integers(n, size=params.sample)]
    truth = exact.search(queries, at)[1]
    index.nprobe = 1
    while (recall := _recall(index.search(_query(queries, index), at)[1], truth)) < params.min_recall:
        if index.nprobe == index.nlist:
            raise GateError(
                f"index: recall@{at} is {recall:.3f} with all {index.nlist} lists searched, expected index.min_recall "
                f"{params.min_recall}; raise index.exact_up_to to {n} or more to search exactly"
            )
        index.nprobe = min(index.nprobe + index.nprobe // 4 + 1, index.nlist)
    report = {"n": n, "dim": dim, "nlist": index.nlist, "nprobe": index.nprobe, "recall": round(recall, 4)}
    return Index(index, rows, Report(kind="ivf_fp16", recall_at=at, **report))


def _inverted_lists(known: FloatArray, seed: int) -> faiss.IndexIVFScalarQuantizer:
    lists, centres = partition(known, seed)
    dim = centres.shape[1]
    coarse = faiss.IndexFlatIP(dim)
    coarse.add(centres)
    fp16, inner_product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(coarse, dim, len(centres), fp16, inner_product)
    index.by_residual = False
    index.train(centres)  # fp16 has nothing to learn, but faiss requires the call
    items = padded(known, 0.0)
    index.add_core(len(items), faiss.swig_ptr(items), None, faiss.swig_ptr(lists))
    return index


def _query(vectors: FloatArray, index: faiss.Index) -> FloatArray:
    """Return (m, dim) queries as the index needs them: for lists with the length of each appended, see `ivf_lists`."""
    if vectors.shape[1] == index.d:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    return padded(vectors, np.linalg.norm(vectors, axis=1))


def _recall(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    hits = [len(np.intersect1d(mine, wanted)) for mine, wanted in zip(found, truth, strict=True)]
    return float(np.sum(hits) / truth.size)


class Similar:
    """Finds similar items by cosine, by exact search; the inner product of `Index` would favour popular items. A search
    is one product of a matrix and a vector: 0.3 ms for 10,000 items of 64 numbers."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._rows, self._vectors = embeddings.rows, embeddings.vectors  # not copied: workers share the file's pages
        starts = range(0, len(self._vectors), BLOCK)
        lengths = [np.linalg.norm(self._vectors[start : start + BLOCK], axis=1) for start in starts]
        self._lengths = np.maximum(np.concatenate(lengths), np.finfo(np.float32).tiny)

    def to(self, row: int, n: int) -> Candidates:
        """Return the n items most similar to the item in `row`, best first; none if the model has no vector for it."""
        at = int(np.searchsorted(self._rows, row))
        if at == len(self._rows) or self._rows[at] != row:
            return NO_CANDIDATES
        cosine = self._vectors @ self._vectors[row] / (self._lengths * self._lengths[row])
        cosine = cosine[self._rows]
        cosine[at] = -np.inf
        best = top_k(cosine, min(n, len(cosine) - 1))
        return Candidates(self._rows[best], cosine[best].astype(np.float32))
