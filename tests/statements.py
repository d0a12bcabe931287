"""Counts the statements that a program sends to Postgres, from between the two."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, unquote, urlsplit

from tests.processes import database_url

# https://www.postgresql.org/docs/current/protocol-message-formats.html
QUERY, EXECUTE = b"Q", b"E"
SSL, GSS = 80877103, 80877104  # asks whether to encrypt: answered with one byte, and asked again


class Counter:
    """A proxy on loopback, without encryption; `url` leads through it to the test's own database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wires: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        parts = urlsplit(database_url())
        host, port = self._listener.getsockname()
        user = parts.netloc.rpartition("@")[0]
        return f"postgresql://{user}@{host}:{port}{parts.path}?sslmode=disable"

    @property
    def counted(self) -> int:
        """Simple queries and executions of prepared ones, since the beginning."""
        with self._lock:
            return self._counted

    def close(self) -> None:
        for wire in [self._listener, *self._wires]:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
            wire.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = _connect()
                self._wires += [client, server]
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=_copy, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client.makefile("rb") as reader:
            while True:
                startup = reader.read(8)
                if len(startup) < 8:
                    break
                length, code = struct.unpack("!ii", startup)
                server.sendall(startup + reader.read(length - 8))
                if code not in {SSL, GSS}:
                    break
            while head := reader.read(5):
                body = reader.read(struct.unpack("!i", head[1:])[0] - 4)
                if head[:1] in {QUERY, EXECUTE}:
                    with self._lock:
                        self._counted += 1
                server.sendall(head + body)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting() -> Iterator[Counter]:
    counter = Counter()
    try:
        yield counter
    finally:
        counter.close()


def _connect() -> socket.socket:
    parts = urlsplit(database_url())
    folder = parse_qs(parts.query).get("host", [""])[0]
    if folder:
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{folder}/.s.PGSQL.{parts.port or 5432}")
        return server
    return socket.create_connection((unquote(parts.hostname or ""), parts.port or 5432))


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
