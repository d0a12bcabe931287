"""Its workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

import redis

from tests.bench.peers.children import Crew, module, run

ACTORS: Final = "tests.bench.peers.drf_dramatiq.actors"
PROCESSES: Final = 2
THREADS: Final = 8  # Dramatiq's own defaults, both
PREFETCH: Final = 200  # messages; its own 2 per thread fetches far more often
UNFINISHED: Final = "dramatiq:default.msgs"  # a hash of all that is not acknowledged, whether taken or not


class DramatiqRedis:
    """Drains."""

    def __init__(self, redis_url: str) -> None:
        self.name = f"dramatiq {version('dramatiq')}, {PROCESSES} processes of {THREADS} threads, Redis"
        self._url = redis_url
        self._redis: redis.Redis = redis.Redis.from_url(redis_url)
        self._count = 0
        self._crew = Crew()

    def fill(self, count: int) -> None:
        self._redis.flushdb()
        run([*module("drf_dramatiq.actors"), str(count)], REDIS_URL=self._url)
        self._count = count

    @contextmanager
    def working(self) -> Iterator[None]:
        command = [
            *(sys.executable, "-m", "dramatiq", ACTORS),
            *("--processes", str(PROCESSES), "--threads", str(THREADS)),
        ]
        extra = {"REDIS_URL": self._url, "dramatiq_queue_prefetch": str(PREFETCH)}
        with self._crew.working([command], extra, gated=False):
            yield

    def begun(self) -> bool:
        self._crew.check()
        return self._open() < self._count

    def done(self) -> bool:
        self._crew.check()
        return self._open() == 0

    def _open(self) -> int:
        return int(self._redis.hlen(UNFINISHED))
