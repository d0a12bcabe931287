"""A proxy that cuts: between a client and what it talks to, at any byte of either direction."""

from __future__ import annotations

import random
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

PIECE = 64 * 1024  # bytes
LOOK_EVERY = 0.05  # seconds between looks at whether to cut
LONGEST_LIFE = 4000  # bytes that a doomed connection passes at most: some go in a request, some in its answer


class CuttingProxy:
    """Listens on loopback and passes on to whatever `reach` connects to; use it as a context.

    Of the connections taken while `doomed` is above 0 so many of one are reset after some random number of bytes.
    """

    def __init__(self, reach: Callable[[], socket.socket], *, seed: str) -> None:
        self.reach = reach
        self.doomed = 0.0
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.settimeout(LOOK_EVERY)
        self.port: int = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._passing: set[_Passing] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="cutting proxy")

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._listener.close()
        self.cut()
        for each in self._snapshot():
            each.thread.join(10)

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        passing = self._snapshot()
        for each in passing:
            each.ending.set()
        return len(passing)

    def _snapshot(self) -> set[_Passing]:
        with self._lock:
            return set(self._passing)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            doomed = self._chance.random() < self.doomed
            passing = _Passing(client, self.reach, self._chance.randrange(LONGEST_LIFE) if doomed else None)
            passing.ended = self._ended
            with self._lock:
                self._passing.add(passing)
            passing.thread.start()

    def _ended(self, passing: _Passing) -> None:
        with self._lock:
            self._passing.discard(passing)


class _Passing:
    """One connection and the one behind it; `life`: bytes until it is reset, None for no end."""

    def __init__(self, client: socket.socket, reach: Callable[[], socket.socket], life: int | None) -> None:
        self._client, self._reach, self._life = client, reach, life
        self.ending = threading.Event()
        self.ended: Callable[[_Passing], None] = lambda _: None
        self.thread = threading.Thread(target=self._run, name="cutting proxy's connection")

    def _run(self) -> None:
        ends = [self._client]
        try:
            ends.append(self._reach())
            self._pass_on(*ends)
        except OSError:
            pass  # one end is gone, and the other will be
        finally:
            for end in ends:
                _reset(end)
            self.ended(self)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while not self.ending.is_set():
                for key, _ in ready.select(LOOK_EVERY):
                    source, other = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    piece = source.recv(PIECE)
                    if not piece:
                        return
                    if self._life is not None:
                        piece, self._life = piece[: self._life], self._life - len(piece)
                    other.sendall(piece)
                    if self._life is not None and self._life <= 0:
                        return


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        # No linger: what is unsent is thrown away and the peer gets an RST, as from a crash.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
