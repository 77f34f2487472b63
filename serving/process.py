"""All changes of process-wide state, at start-up and after a bundle was loaded. `app.py` calls `prepare` at start-up.

Importing a module or constructing an object changes none. The only exceptions are the environment variables that
`recsys/__init__.py` and `serving/__init__.py` set, as libraries read them when they are imported.
"""

import asyncio
import ctypes
import gc
import logging
import mmap
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
from resource import RLIMIT_NOFILE, getrlimit
from threading import Thread

from openfeature import api
from openfeature.provider import FeatureProvider

from serving.engine.arms import DOMAIN

# How long a busy event loop keeps the interpreter from another thread. The store's writer thread releases it at each
# statement: beside such a loop it made 150 to 230 commits a second with Python's 5 ms, 950 to 1,650 with 0.5 ms.
SWITCH_SECONDS = 0.0005
# New objects between two garbage collections. Python's 700 costs a fifth of a cheap answer, because waiting exposures
# and kept histories are looked through. With 10,000 what failed connections hold is freed too late, for little more.
COLLECT_EVERY = 2_000
DRAIN_SECONDS = 5.0  # in which running requests may finish once the supervisor is gone
SETTLE_SECONDS = 0.3  # for connections that were being opened when new ones began to be ignored
# a program for the kernel's packet filter: drop TCP packets that have the flag SYN (in byte 13) but not ACK
IGNORE_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
SO_ATTACH_FILTER = 26
RESERVE_BYTES = 16 << 20  # the caches of a worker, which fill within minutes, need less
STACK_BYTES = 8 << 20  # of a new thread on Linux
RESERVE_FILES, LEAST_FILES = 64, 16

log = logging.getLogger(__name__)


def prepare(flag_provider: FeatureProvider) -> None:
    """Set up a worker process: when it stops, switches threads and collects garbage, and who assigns arms."""
    end_with_parent()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(COLLECT_EVERY)
    api.set_provider(flag_provider, domain=DOMAIN)


class MemoryReserve:
    """Memory that a worker sets aside at its start, for when it is refused more, as by `ulimit -d`. It is not written,
    so it costs no page. (A container's limit ends the process at once, and nothing here helps.)"""

    def __init__(self) -> None:
        self._reserve: mmap.mmap | None = mmap.mmap(-1, RESERVE_BYTES, mmap.MAP_PRIVATE)
        self._ends = False

    def look(self) -> None:
        """Free the reserve if this process would be refused as much as a thread needs. Parts that get no memory are
        left out of the answers, and nobody sees their MemoryError. Called every second."""
        if self._reserve is not None:
            try:
                mmap.mmap(-1, STACK_BYTES, mmap.MAP_PRIVATE).close()
            except OSError:
                self.free()

    def free(self) -> bool:
        """Give the reserve back to the system, after a MemoryError; return False if that was done before. Then this
        process ends as by SIGTERM, so that its supervisor starts a new one."""
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None
            log.error("out of memory: the reserve of this worker is used now; raise its limit")
            return True
        if not self._ends:
            self._ends = True
            log.error("out of memory, and the reserve is used: this worker ends; raise its limit")
            os.kill(os.getpid(), signal.SIGTERM)
        return False


class DescriptorReserve:
    """File descriptors that a worker sets aside at its start, for when it may open hardly any more files."""

    def __init__(self) -> None:
        self._files = list[int]()

    def open(self) -> None:
        self._files += [os.open(os.devnull, os.O_RDONLY) for _ in range(RESERVE_FILES)]

    def look(self) -> None:
        """Close them if this process may open fewer than `LEAST_FILES` more. Called every second, and for every
        connection where descriptors are few."""
        if self._files and free_files() < LEAST_FILES:
            self.free()
            log.error("out of file descriptors: the reserve of this worker is used now; raise `ulimit -n`")

    def free(self) -> None:
        while self._files:
            os.close(self._files.pop())


DESCRIPTORS = DescriptorReserve()  # of this process


def free_files() -> int:
    """Return how many more files this process may open."""
    try:
        return getrlimit(RLIMIT_NOFILE)[0] - len(os.listdir("/dev/fd"))
    except OSError:  # listing them opens one
        return 0


def stop_in_two_steps(begin: Callable[[], None], wait_s: float) -> None:
    """Install a handler of SIGTERM: it calls `begin`, and after `wait_s` ignores new connections and stops the server.
    A second SIGTERM stops the server at once. With several workers, the supervisor ignores new connections for all.
    """
    end = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(end):
        return  # the app runs in another program, which handles its signals itself
    loop = asyncio.get_running_loop()

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, end)
        begin()
        if parent_process() is None:
            loop.call_soon_threadsafe(loop.call_later, wait_s, ignore_new_connections)
        loop.call_soon_threadsafe(loop.call_later, wait_s + SETTLE_SECONDS, end, signal.SIGTERM, None)

    signal.signal(signal.SIGTERM, leave)


def ignore_new_connections() -> None:
    """Make the kernel ignore attempts to connect to the ports on which this process listens.

    Otherwise, closing a port would cut connections that the kernel has opened and no worker has accepted yet. A client
    whose attempt is ignored tries again within two seconds; once the port is closed, it is refused.
    """
    program = b"".join(struct.pack("HBBI", *one) for one in IGNORE_SYN)
    buffer = ctypes.create_string_buffer(program)
    pointer = struct.pack("HP", len(IGNORE_SYN), ctypes.addressof(buffer))
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as one:  # OSError: it is no socket
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)


def end_with_parent() -> None:
    """Stop this worker when its parent process has ended for any reason, as nobody else would stop it."""
    supervisor = parent_process()
    if supervisor is not None:
        Thread(target=_end_after, args=(supervisor.sentinel,), name="end with the supervisor", daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(DRAIN_SECONDS)
    os._exit(1)


def freeze_loaded_objects() -> None:
    """Collect garbage, then exclude all remaining objects: to collect them later would block the worker for 0.1 s."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
