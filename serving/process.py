"""All changes of process-wide state: at start-up, and after a bundle was loaded. No import or constructor makes any.

The exceptions are the variables of `recsys/__init__.py` and `serving/__init__.py`: libraries read them once, when they
are imported. `app.py` calls `prepare` when the app starts.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

from openfeature import api
from openfeature.provider import FeatureProvider

from serving.engine.arms import DOMAIN

# Each statement of the store's writer gives the interpreter away, and a busy event loop keeps it for this long: with
# Python's 5 ms the thread committed 150 to 230 single events a second beside such a loop, with 0.5 ms 950 to 1,650.
SWITCH_SECONDS = 0.0005
DRAIN_SECONDS = 5.0  # for what a worker has begun, once its supervisor is gone


def prepare(flag_provider: FeatureProvider) -> None:
    """Shorten the interpreter's switch interval between threads, and register this provider with OpenFeature."""
    end_with_parent()
    sys.setswitchinterval(SWITCH_SECONDS)
    api.set_provider(flag_provider, domain=DOMAIN)


def stop_in_two_steps(begin: Callable[[], None], wait_s: float) -> None:
    """At SIGTERM call `begin`, then after `wait_s` the server's own handler; at a second SIGTERM at once."""
    end = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(end):
        return  # another program runs the app
    loop = asyncio.get_running_loop()

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, end)
        begin()
        loop.call_soon_threadsafe(loop.call_later, wait_s, end, signal.SIGTERM, None)

    signal.signal(signal.SIGTERM, leave)


def end_with_parent() -> None:
    """End this worker when the process that started it has ended, in whatever way: nothing else would stop it."""
    supervisor = parent_process()
    if supervisor is not None:
        Thread(target=_end_after, args=(supervisor.sentinel,), name="end with the supervisor", daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(DRAIN_SECONDS)
    os._exit(1)


def freeze_loaded_objects() -> None:
    """Exclude all loaded objects from garbage collection: a collection of them would stop the worker for 0.1 s.

    They are collected once more here, and not again.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
