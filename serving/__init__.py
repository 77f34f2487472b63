"""The HTTP API over the library: requests, experiments, stores, caching. `recsys` decides what to recommend.

`python -m serving` serves the current release on http://127.0.0.1:8000, with a page to try it at /docs.
`python -m deploy.demo` starts it, sends a few requests and stops it.
"""

import os

import recsys  # noqa: F401  # isort: skip  # first: it selects the CPU kernels before the API loads numpy

# Here, because OpenMP, BLAS, faiss and polars read them once, when they are imported: two workers of two threads each
# answered 29-149 requests a second on two cores, two workers of one thread each 414-1,488.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")
# The allocator of polars returns what is free at once: counting 32,000 live events kept 25 MB of a worker's memory.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")
