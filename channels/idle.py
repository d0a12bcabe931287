"""Connections that nobody uses at the moment, kept open for a few seconds for whoever sends next.

A thread takes one for a send and gives it back after it, so that batches, and the threads of a process, share them.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

from urllib3.util import wait_for_read

from channels import deadline

# Servers close idle connections (Node after 5 s, others after 60 or 75). One that closes while we write makes an
# unknown outcome of a message that was never read, so an older connection is not used again.
MAX_IDLE: Final = timedelta(seconds=4)
FAREWELL: Final = timedelta(seconds=2)  # for all that are closed at once: no slow provider must hold up a process's end


class Closable(Protocol):
    """What can be kept."""

    def is_over(self) -> bool:
        """Whether it is closed, at either end."""
        ...

    def close(self) -> None:
        """At once, without a word."""
        ...


C = TypeVar("C", bound=Closable)


class Idle(Generic[C]):
    """Shared by threads. Connections are kept under a key, and only those with the same are alike.

    `farewell` closes one in good order, within the running deadline; it may raise OSError.
    """

    def __init__(self, farewell: Callable[[C], None], max_idle: timedelta = MAX_IDLE) -> None:
        self._farewell = farewell
        self._max_idle = max_idle.total_seconds()
        self._lock = threading.Condition()
        self._kept: deque[tuple[float, Hashable, C]] = deque()  # since when; the longest idle first
        self._watched = False

    def take(self, key: Hashable) -> C | None:
        """The one used last, if there is one that the other end has not closed."""
        while (found := self._pop(key)) is not None:
            since, connection = found
            if monotonic() - since <= self._max_idle and not connection.is_over():
                return connection
            connection.close()
        return None

    def give(self, key: Hashable, connection: C) -> None:
        """Keep one that is good for another send."""
        with self._lock:
            self._kept.append((monotonic(), key, connection))
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, name="idle connections", daemon=True).start()

    def close(self) -> None:
        """Close all that are idle now."""
        with self._lock:
            kept, self._kept = self._kept, deque()
            self._lock.notify()
        self._part([connection for _, _, connection in kept])

    def _pop(self, key: Hashable) -> tuple[float, C] | None:
        with self._lock:
            for place in range(len(self._kept) - 1, -1, -1):
                since, its_key, connection = self._kept[place]
                if its_key == key:
                    del self._kept[place]
                    return since, connection
        return None

    def _watch(self) -> None:
        """Close what has been idle for too long, until nothing is kept."""
        while True:
            with self._lock:
                expired = []
                while self._kept and self._kept[0][0] + self._max_idle < monotonic():
                    expired.append(self._kept.popleft()[2])
                if not expired and not self._kept:
                    self._watched = False
                    return
                if not expired:
                    self._lock.wait(self._kept[0][0] + self._max_idle - monotonic() + 0.01)
            self._part(expired)

    def _part(self, connections: list[C]) -> None:
        with deadline.within(FAREWELL):
            for connection in connections:
                with suppress(OSError):
                    self._farewell(connection)


def is_over(sock: socket.socket | None) -> bool:
    """Whether the other end has closed, or is about to: between two sends it has nothing else to say."""
    return sock is None or sock.fileno() < 0 or wait_for_read(sock, timeout=0)
