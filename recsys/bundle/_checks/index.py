"""Checks that an index agrees with its report and with the vectors of its model."""

from typing import Any

import faiss
import numpy as np

from recsys.bundle.ivf_lists import padded
from recsys.contracts import FloatArray

EXACT, LISTS = "exact", "ivf_fp16"


def fault(index: faiss.Index, report: Any, known: FloatArray) -> str | None:
    """Return the fault of an index as text, None if it is valid. report: a `recsys.bundle.index.Report`; known:
    (n_known, dim) float32, the vectors that the index should hold."""
    n, dim = known.shape
    if (index.ntotal, report.n, report.dim) != (n, n, dim):
        held = f"{index.ntotal} vectors, and index.json says {report.n} of {report.dim} numbers"
        return f"holds {held}; the model has {n} of {dim}"
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        return "does not compare by inner product"
    if n and not 1 <= report.recall_at <= n:
        return f"its index.json says recall_at {report.recall_at}, expected 1 to {n}"
    if report.kind == EXACT:
        return _exact_fault(index, report, known)
    if report.kind == LISTS:
        return _lists_fault(index, report, known)
    return f"its index.json says kind {report.kind!r:.40}, expected {EXACT} or {LISTS}"


def _exact_fault(index: faiss.Index, report: Any, known: FloatArray) -> str | None:
    if type(index) is not faiss.IndexFlatIP or index.d != known.shape[1] or report.nlist or report.nprobe:
        return f"is a {type(index).__name__} of {index.d} numbers, expected an IndexFlatIP of {known.shape[1]}"
    if index.codes.size() != known.nbytes:
        return f"holds {index.codes.size()} bytes, expected {known.nbytes}"
    if known.size and not np.array_equal(faiss.rev_swig_ptr(index.get_xb(), known.size), known.ravel()):
        return "holds other vectors than the model"
    return None


def _lists_fault(index: faiss.Index, report: Any, known: FloatArray) -> str | None:
    wide = padded(known[:1], 0.0).shape[1]
    if type(index) is not faiss.IndexIVFScalarQuantizer or index.d != wide or index.by_residual:
        return f"is a {type(index).__name__} of {index.d} numbers, expected an IndexIVFScalarQuantizer of {wide}"
    if index.sq.qtype != faiss.ScalarQuantizer.QT_fp16 or index.code_size != 2 * wide or not index.is_trained:
        return "does not hold fp16 numbers"
    coarse = faiss.downcast_index(index.quantizer)
    if type(coarse) is not faiss.IndexFlatIP or coarse.d != wide or coarse.codes.size() != 4 * wide * coarse.ntotal:
        return f"the centres of its lists are not an IndexFlatIP of {wide} numbers"
    lists = index.invlists
    if lists is None or not (
        report.nlist == index.nlist == lists.nlist == coarse.ntotal and 1 <= report.nprobe <= report.nlist
    ):
        searched = f"{report.nprobe} of {report.nlist} lists are searched"
        return f"its index.json says that {searched}, and it has {index.nlist} lists"
    if not np.isfinite(faiss.rev_swig_ptr(coarse.get_xb(), coarse.ntotal * wide)).all():
        return "holds a centre that is not finite"
    seen = np.zeros(len(known), dtype=bool)
    for number in range(lists.nlist):
        size = lists.list_size(number)
        if not size:
            continue
        ids = faiss.rev_swig_ptr(lists.get_ids(number), size)
        if ids.min() < 0 or ids.max() >= len(known) or seen[ids].any() or len(np.unique(ids)) < size:
            return f"its list {number} holds an item twice, or one that the model has no vector for"
        codes = faiss.rev_swig_ptr(lists.get_codes(number), size * index.code_size).view(np.float16)
        found = codes.reshape(size, wide).astype(np.float32)
        if not (np.isfinite(found).all() and np.allclose(found, padded(known[ids], 0.0), rtol=1e-3, atol=1e-6)):
            return f"its list {number} holds other vectors than the model"
        seen[ids] = True
    return None if seen.all() else "its lists do not hold every item"
