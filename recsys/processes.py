"""Runs the parts of a stage in several processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any


@contextmanager
def mapped(processes: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a function that is called like `map`, and calls its function in so many processes at once; with one
    process it is `map`. The results do not depend on the number. The processes are new ones ("spawn"), because threads
    that a library has started do not survive a fork."""
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool.map
