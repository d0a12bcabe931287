"""A wire to the test's database that can lose the answer to a statement after it was carried out."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

from django.db import connection

_READY: Final = b"Z\x00\x00\x00\x05I"  # the server's word that a statement has ended, its commit included


class LossyWire:
    """Listens on a port of loopback and carries to the real server what comes, until it is told to lose an answer."""

    def __init__(self) -> None:
        self.lost = 0
        self._tag = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="lossy wire", daemon=True)
        self._thread.start()

    @property
    def settings(self) -> dict[str, Any]:
        """Django's settings for a connection over this wire."""
        known = connection.settings_dict
        options = {**known["OPTIONS"], "sslmode": "disable", "gssencmode": "disable"}
        return {**known, "HOST": "127.0.0.1", "PORT": self._listener.getsockname()[1], "OPTIONS": options}

    def lose_the_answer_to(self, command: str) -> None:
        """Let the next UPDATE, INSERT … be carried out, and close its connection instead of carrying its answer."""
        self._tag = f"{command} ".encode()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # which wakes `accept`
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        answer = b""
        with closing(client), closing(_upstream()) as server, suppress(OSError):
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if client in readable:
                    if not (asked := client.recv(65536)):
                        return
                    server.sendall(asked)
                if server in readable:
                    if not (said := server.recv(65536)):
                        return
                    answer += said
                    if self._tag and self._tag in answer and answer.endswith(_READY):
                        self._tag = b""
                        self.lost += 1
                        return
                    if not self._tag or answer.endswith(_READY):
                        client.sendall(answer)
                        answer = b""


@contextmanager
def lossy_wire() -> Iterator[LossyWire]:
    wire = LossyWire()
    try:
        yield wire
    finally:
        wire.close()


def _upstream() -> socket.socket:
    host, port = str(connection.settings_dict["HOST"]), int(connection.settings_dict["PORT"] or 5432)
    if host.startswith("/"):
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server
    return socket.create_connection((host or "127.0.0.1", port))
