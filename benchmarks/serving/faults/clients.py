"""Clients that could block a server: slow ones, huge requests, very many connections."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from benchmarks.serving.faults.place import Place

CONNECTIONS = 900  # more than one worker keeps
HEAD = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"


@contextmanager
def _clients(place: Place, n: int, first: bytes, then: Callable[[socket.socket], None]) -> Iterator[None]:
    """Keep so many connections that have sent the same bytes, and go on with each in turn."""
    ended, address = threading.Event(), ("127.0.0.1", place.server.port)
    clients: list[socket.socket] = []

    def opened() -> socket.socket:
        client = socket.create_connection(address, timeout=10)
        client.sendall(first)
        client.settimeout(0.2)
        return client

    def hold() -> None:
        while not ended.wait(0.01):
            for at, client in enumerate(clients):
                if ended.is_set():
                    return
                try:
                    then(client)
                except TimeoutError:
                    continue
                except OSError:  # it was cut; come again
                    client.close()
                    with suppress(OSError):
                        clients[at] = opened()
            ended.wait(0.3)

    clients = [opened() for _ in range(n)]
    holder = threading.Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        ended.set()
        holder.join()
        for client in clients:
            client.close()


def slow_bodies(place: Place) -> AbstractContextManager[None]:
    """Bodies that come a byte at a time."""
    return _clients(place, CONNECTIONS, HEAD, lambda client: client.sendall(b" "))


def slow_heads(place: Place) -> AbstractContextManager[None]:
    """Heads that come a byte at a time."""
    return _clients(place, CONNECTIONS, b"GET / HTTP/1.1\r\nx: ", lambda client: client.sendall(b"a"))


def huge_heads(place: Place) -> AbstractContextManager[None]:
    """Heads without an end, as fast as they are taken."""
    return _clients(place, 4, b"GET / HTTP/1.1\r\nx: ", lambda client: client.sendall(b"a" * 2**20))


def idle_connections(place: Place) -> AbstractContextManager[None]:
    """Connections that say nothing, opened anew when they are closed."""
    return _clients(place, CONNECTIONS, b"", _still_there)


def _still_there(client: socket.socket) -> None:
    client.setblocking(False)
    with suppress(BlockingIOError):
        if not client.recv(1):
            raise ConnectionError
