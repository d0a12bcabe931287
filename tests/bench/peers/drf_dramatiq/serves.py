"""Its web server."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from time import monotonic, sleep
from typing import Final

import redis

from tests.bench.peers.children import Crew, module, run

PROCESSES: Final = 2
THREADS: Final = 4  # which block, in each
START_TIMEOUT: Final = 30.0  # seconds


class DrfDramatiq:
    """Serves."""

    def __init__(self, database_url: str, redis_url: str, *, keyed: bool = False) -> None:
        """`keyed`: with an API key and an Idempotency-Key, both looked up and stored by the ORM."""
        what = "API key and key table by the ORM" if keyed else "no auth, no key"
        self.name = (
            f"DRF {version('djangorestframework')} + ORM + Dramatiq (Redis) on granian {version('granian')}, "
            f"{PROCESSES}x{THREADS}, {what}"
        )
        self.keyed = keyed
        self._key = secrets.token_urlsafe(32)
        self._redis_url = redis_url
        self._crew = Crew()
        self._extra = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DJANGO_SETTINGS_MODULE": "tests.bench.peers.drf_dramatiq.settings",
        }

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self.keyed else {}

    @contextmanager
    def serving(self, port: int) -> Iterator[str]:
        with redis.Redis.from_url(self._redis_url) as broker:
            broker.flushdb()
        run([*module("drf_dramatiq.prepare"), self._key], **self._extra)
        command = [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--log-level", "error"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--workers", str(PROCESSES), "--blocking-threads", str(THREADS)),
            "tests.bench.peers.drf_dramatiq.wsgi:application",
        ]
        with self._crew.working([command], self._extra, gated=False):
            self._await_answer(port)
            yield f"http://127.0.0.1:{port}/{'keyed/' if self.keyed else ''}notifications"

    def _await_answer(self, port: int) -> None:
        deadline = monotonic() + START_TIMEOUT
        while True:
            self._crew.check()
            with socket.socket() as probe:
                probe.settimeout(5)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    # The parent listens before its workers have imported anything: one that answers has.
                    probe.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    if probe.recv(12).startswith(b"HTTP/1.1 404"):
                        return
            if monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer within {START_TIMEOUT:.0f} s")
            sleep(0.05)
