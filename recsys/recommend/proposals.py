"""Requests candidates from a source; candidates that break the contract of `Source` count as its failure."""

from functools import partial

import numpy as np

from recsys.contracts import NO_CANDIDATES, Candidates, Query, Source
from recsys.recommend.circuit_breaker import CircuitBreaker
from recsys.recommend.request import Request


def propose(request: Request, source: Source, breaker: CircuitBreaker, n: int, n_items: int) -> Candidates:
    """Return at most n candidates of one source, none if it fails; add the step to the trace. n_items: catalogue
    size."""
    call = partial(_checked, source, request.query, n, n_items)
    found = request.trace.call_or_default(breaker, call, NO_CANDIDATES)
    request.trace.step(breaker.part, len(found.rows))
    return found


def _checked(source: Source, query: Query, n: int, n_items: int) -> Candidates:
    found = source.propose(query, n)
    rows, scores = found.rows, found.scores
    if rows.dtype != np.int32 or rows.shape != scores.shape:
        found_shapes = f"{rows.dtype} rows of shape {rows.shape} and scores of shape {scores.shape}"
        raise ValueError(f"the source returned {found_shapes}, expected int32 rows and one score for each")
    as_unsigned = rows.view(np.uint32)  # where a negative row is a large one
    if len(rows) and as_unsigned[largest := as_unsigned.argmax()] >= n_items:
        expected = f"0 to {n_items - 1}, a row of the catalogue"
        raise ValueError(f"the source returned the row {rows[largest]}, expected {expected}")
    return found
