"""Nearest items by inner product, through faiss: exact for small catalogues, IVF with fp16 for large ones.

Exact search is the fastest up to about 20,000 items and cannot be wrong. Above, vectors are kept in lists around
centroids and `nprobe` lists are searched; it is raised until recall against exact search passes the gate, and the build
fails when it cannot. HNSW is no alternative: on vectors that are not of unit length its recall stops at 0.84.

    index.faiss   the index         index.json   `Report`
"""

from pathlib import Path

import faiss
import numpy as np

from recsys.contracts import FloatArray, IntArray
from recsys.errors import BundleError, GateError
from recsys.params import IndexParams, Section

INDEX, REPORT = "index.faiss", "index.json"
ITERATIONS = 20


class Report(Section):
    """How the index was built, and the share of the true nearest `recall_at` items that it finds."""

    kind: str
    n: int
    dim: int
    nlist: int
    nprobe: int
    recall: float
    recall_at: int


class Index:
    """Answers in catalogue rows; the index itself counts positions in `rows`."""

    def __init__(self, index: faiss.Index, rows: IntArray, report: Report) -> None:
        self._index = index
        self._rows = rows
        self.report = report

    def search(self, vector: FloatArray, n: int) -> tuple[IntArray, FloatArray]:
        """The n nearest items of a (dim,) float32 vector, best first: rows (m,) int32 and inner products (m,) float32,
        m <= n."""
        n = min(n, len(self._rows))
        if not n:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        scores, positions = self._index.search(vector.reshape(1, -1), n)
        found = positions[0] >= 0  # lists that were not probed leave places empty
        return self._rows[positions[0][found]], scores[0][found]

    def save(self, folder: Path) -> None:
        """Write both files into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self._index, str(folder / INDEX))
        (folder / REPORT).write_text(self.report.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, rows: IntArray) -> "Index":
        """Read what `save` wrote; rows as in the embeddings that it was built of.

        Raises:
            BundleError: "models/als/index.faiss: ...; run `dvc repro`"
        """
        try:
            index = faiss.read_index(str(folder / INDEX))
            report = Report.model_validate_json((folder / REPORT).read_text(encoding="utf-8"))
        except (RuntimeError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"{folder / INDEX}: not a readable index ({reason}); run `dvc repro` to build it"
            ) from error
        if index.ntotal != len(rows):
            raise BundleError(
                f"{folder / INDEX}: holds {index.ntotal} items, the model knows {len(rows)}; build it again"
            )
        return cls(index, rows, report)


def build(vectors: FloatArray, rows: IntArray, params: IndexParams, seed: int) -> Index:
    """Index the vectors of the known items: vectors (n_items, dim) float32, rows (n_known,) int32.

    Raises:
        GateError: "index: recall@100 is 0.951 with all 400 lists searched, wanted index.min_recall 0.98; ..."
    """
    faiss.omp_set_num_threads(1)  # the same bytes on any number of cores
    known = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    exact = faiss.IndexFlatIP(known.shape[1])
    exact.add(known)
    at = min(params.recall_at, len(known))
    if len(known) <= params.exact_up_to:
        return Index(exact, rows, _report("exact", known, 0, 0, 1.0, at))
    index = _inverted_lists(known, seed)
    queries = _queries(known, params.sample, seed)
    truth = exact.search(queries, at)[1]
    index.nprobe = 1
    while (recall := _recall(index.search(queries, at)[1], truth)) < params.min_recall:
        if index.nprobe == index.nlist:
            raise GateError(
                f"index: recall@{at} is {recall:.3f} with all {index.nlist} lists searched, wanted index.min_recall "
                f"{params.min_recall}; raise index.exact_up_to above {len(known)} to search exactly"
            )
        index.nprobe = min(index.nprobe + index.nprobe // 4 + 1, index.nlist)
    return Index(index, rows, _report("ivf_fp16", known, index.nlist, index.nprobe, recall, at))


def _inverted_lists(known: FloatArray, seed: int) -> faiss.IndexIVFScalarQuantizer:
    nlist = 4 * round(len(known) ** 0.5)
    centroids = faiss.IndexFlatIP(known.shape[1])
    fp16, inner_product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(centroids, known.shape[1], nlist, fp16, inner_product)
    index.by_residual = False
    index.cp.seed, index.cp.niter = seed, ITERATIONS
    index.cp.min_points_per_centroid = 1  # no warning: few points a list are meant
    index.train(known)
    index.add(known)
    return index


def _queries(known: FloatArray, n: int, seed: int) -> FloatArray:
    """What users look like to the index: a folded-in history is a weighted sum of items, mostly of one neighbourhood.

    Each query is an item plus the mean of four others, one half of them drawn at random.
    """
    draw = np.random.default_rng(seed)
    own, others = draw.integers(len(known), size=n), draw.integers(len(known), size=(n, 4))
    mixed: FloatArray = known[own] + known[others].mean(axis=1) * (np.arange(n) % 2)[:, None].astype(np.float32)
    return np.ascontiguousarray(mixed, dtype=np.float32)


def _recall(found: IntArray, truth: IntArray) -> float:
    hits = [len(np.intersect1d(mine, wanted)) for mine, wanted in zip(found, truth, strict=True)]
    return float(np.sum(hits) / truth.size)


def _report(kind: str, known: FloatArray, nlist: int, nprobe: int, recall: float, at: int) -> Report:
    n, dim = known.shape
    return Report(kind=kind, n=n, dim=dim, nlist=nlist, nprobe=nprobe, recall=round(recall, 4), recall_at=at)
