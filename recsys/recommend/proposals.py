"""Requests candidates from a source; candidates that break the contract of `Source` count as its failure."""

from functools import partial

import numpy as np

from recsys.contracts import NO_CANDIDATES, Candidates, Query, Source
from recsys.recommend.circuit_breaker import CircuitBreaker
from recsys.recommend.request import Request


def propose(request: Request, source: Source, breaker: CircuitBreaker, n: int, n_items: int) -> Candidates:
    """Return at most n candidates of one source, none if it fails, and add the step to the trace. n_items: the size of
    the catalogue."""
    call = partial(_checked, source, request.query, n, n_items)
    found = request.trace.call_or_default(breaker, call, NO_CANDIDATES)
    request.trace.step(breaker.part, len(found.rows))
    return found


def _checked(source: Source, query: Query, n: int, n_items: int) -> Candidates:
    found = source.propose(query, n)
    rows, scores = found.rows, found.scores
    if rows.dtype != np.int32 or rows.shape != scores.shape:
        raise ValueError(f"{rows.dtype} rows {rows.shape} and scores {scores.shape}, expected as many int32 as scores")
    if len(rows) and rows.view(np.uint32).max() >= n_items:  # as uint32 a negative row is a large one
        raise ValueError(f"a row is outside of the catalogue of {n_items} items")
    return found
