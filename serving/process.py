"""All changes of process-wide state: at start-up, and after a bundle was loaded. No import or constructor makes any.

The exceptions are the variables of `recsys/__init__.py` and `serving/__init__.py`: libraries read them once, when they
are imported. `app.py` calls `prepare` when the app starts.
"""

import asyncio
import ctypes
import gc
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
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
SETTLE_SECONDS = 0.3  # for connections that were being made when new ones began to be ignored
# a program of the kernel's packet filter: of TCP packets with the flags SYN, ACK (byte 13) drop those with SYN only
IGNORE_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
SO_ATTACH_FILTER = 26


def prepare(flag_provider: FeatureProvider) -> None:
    """Shorten the interpreter's switch interval between threads, and register this provider with OpenFeature."""
    end_with_parent()
    sys.setswitchinterval(SWITCH_SECONDS)
    api.set_provider(flag_provider, domain=DOMAIN)


def stop_in_two_steps(begin: Callable[[], None], wait_s: float) -> None:
    """At SIGTERM call `begin`; after `wait_s` ignore new connections, then call the server's own handler.

    At a second SIGTERM that handler is called at once. Of several workers the supervisor ignores new connections.
    """
    end = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(end):
        return  # another program runs the app
    loop = asyncio.get_running_loop()

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, end)
        begin()
        if parent_process() is None:
            loop.call_soon_threadsafe(loop.call_later, wait_s, ignore_new_connections)
        loop.call_soon_threadsafe(loop.call_later, wait_s + SETTLE_SECONDS, end, signal.SIGTERM, None)

    signal.signal(signal.SIGTERM, leave)


def ignore_new_connections() -> None:
    """Let the kernel ignore attempts to connect to the ports on which this process listens.

    Connections that the kernel made and no worker accepted are cut when a port is closed. Clients whose attempt is
    ignored repeat it within a second or two, and are refused then.
    """
    program = b"".join(struct.pack("HBBI", *one) for one in IGNORE_SYN)
    buffer = ctypes.create_string_buffer(program)
    pointer = struct.pack("HP", len(IGNORE_SYN), ctypes.addressof(buffer))
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as one:  # OSError: it is no socket
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)


def end_with_parent() -> None:
    """End this worker when its parent process has ended, for any reason: nothing else would stop it."""
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
