"""A TCP proxy between the service and what it talks to, which breaks connections in the ways that networks do."""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import struct
import threading
from contextlib import suppress
from time import monotonic

from tests.ports import free_port

PIECE = 64 * 1024  # bytes


class Proxy:
    """Listens on loopback and passes on to `target`; use it as a context.

    `target` may be changed at any time and counts for new connections. `frozen`: half-open, connections are taken and
    stand, and nothing passes. `delay`: seconds that each piece waits. `garbage`: noise instead of the target's answers.
    `tls`: what clients are to speak, where that is TLS.
    """

    def __init__(self, target: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.target = target
        self.frozen = False
        self.delay = 0.0
        self.garbage = False
        self.tls = tls
        self.taken = 0  # connections
        self._stop = threading.Event()
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._listener.settimeout(0.1)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self.cut()
        if self._listener:
            self._listener.close()

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            pairs = set(self._pairs)
        for pair in pairs:
            pair.reset()
        for pair in pairs:
            pair.thread.join(10)

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.taken += 1
            with self._lock:
                pair = _Pair(self, client)
                self._pairs.add(pair)
            pair.thread.start()

    def ended(self, pair: _Pair) -> None:
        with self._lock:
            self._pairs.discard(pair)


class _Pair:
    """One connection and the one behind it."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._ending = threading.Event()
        self.thread = threading.Thread(target=self._run, name="proxied", daemon=True)

    def reset(self) -> None:
        self._ending.set()

    def _run(self) -> None:
        server: socket.socket | None = None
        try:
            while self._proxy.frozen and not self._ending.wait(0.02):
                pass
            if not self._ending.is_set():
                if self._proxy.tls:
                    self._client.settimeout(5)
                    self._client = self._proxy.tls.wrap_socket(self._client, server_side=True)
                server = socket.create_connection(self._proxy.target, timeout=5)
                self._pass_on(server)
        except OSError:
            pass
        finally:
            for end in (self._client, server):
                if end is not None:
                    _reset(end)
            self._proxy.ended(self)

    def _pass_on(self, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, self._client)
            while not self._ending.is_set():
                events = ready.select(0.02)
                if self._proxy.frozen:
                    self._ending.wait(0.02)  # unread, so that a sender's buffer fills as it would
                    continue
                for key, _ in events:
                    piece = key.fileobj.recv(PIECE)  # type: ignore[union-attr]
                    if not piece:
                        return
                    if self._proxy.delay:
                        self._wait(self._proxy.delay)
                    if self._proxy.garbage and key.fileobj is server:
                        piece = os.urandom(len(piece)) + b"\r\n\r\n"
                    key.data.sendall(piece)

    def _wait(self, seconds: float) -> None:
        until = monotonic() + seconds
        while monotonic() < until and not self._ending.wait(max(0.0, min(0.05, until - monotonic()))):
            pass


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        # No linger: what is unsent is thrown away, and the peer gets an RST.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
