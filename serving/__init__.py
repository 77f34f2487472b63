"""The HTTP API: requests, experiments, stores, caching. The library `recsys` decides what to recommend.

`python -m serving` serves the current release on http://127.0.0.1:8000; the page /docs lets you try it.
`python -m deploy.demo` starts it, sends a few requests and stops it.
"""

import os

import recsys  # noqa: F401  # isort: skip  # first: it selects the CPU kernels before the API loads numpy

# Here, because OpenMP, BLAS, faiss and polars read these variables once, when they are imported. On two cores, two
# workers with two threads each answered 29-149 requests a second, with one thread each 414-1,488.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")
# The allocator of polars must return free memory at once: counting 32,000 live events kept 25 MB of a worker.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")
