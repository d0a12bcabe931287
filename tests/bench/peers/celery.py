"""Celery on Redis: prefork, acknowledged late, results ignored; it records nothing.

A module of its own process, which fills the queue: python -m tests.bench.peers.celery fill COUNT.
The worker is Celery's own command, which finds `app` here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import redis

from tests.bench.peers.children import Crew, module, run

if TYPE_CHECKING:
    from celery import Celery

PROCESSES: Final = 2
PREFETCH: Final = 64  # messages for each process, where Celery's own is 4
QUEUE: Final = "celery"


class CeleryPrefork:
    """Drains."""

    def __init__(self, redis_url: str) -> None:
        self.name = f"celery {version('celery')}, prefork -c {PROCESSES}, acks_late, Redis"
        self._url = redis_url
        self._redis: redis.Redis = redis.Redis.from_url(redis_url)
        self._count = 0
        self._crew = Crew()

    def fill(self, count: int) -> None:
        self._redis.flushdb()
        run([*module("celery"), "fill", str(count)], REDIS_URL=self._url)
        self._count = count

    @contextmanager
    def working(self) -> Iterator[None]:
        command = [
            *(sys.executable, "-m", "celery", "--app", "tests.bench.peers.celery:app", "--quiet"),
            *("worker", "--pool", "prefork", "--concurrency", str(PROCESSES), "--loglevel", "error"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
        with self._crew.working([command], {"REDIS_URL": self._url}, gated=False):
            yield

    def begun(self) -> bool:
        self._crew.check()
        return self._open() < self._count

    def done(self) -> bool:
        self._crew.check()
        return self._open() == 0

    def _open(self) -> int:
        # One that the worker has just taken is in neither for a moment, so this is right to a millisecond or so.
        pipeline = self._redis.pipeline()
        pipeline.llen(QUEUE)
        pipeline.hlen("unacked")
        waiting, taken = pipeline.execute()
        return int(waiting) + int(taken)


def application() -> Celery:
    from celery import Celery

    made = Celery("bench", broker=os.environ["REDIS_URL"])
    made.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=PREFETCH,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
    )

    def nothing(message: str) -> None:
        return

    made.task(name="nothing")(nothing)
    return made


def __getattr__(name: str) -> Any:
    # Made when Celery's command asks for it, and never in the bench's own process.
    if name == "app":
        return globals().setdefault("app", application())
    raise AttributeError(name)


def fill(count: int) -> None:
    made = application()
    task = made.tasks["nothing"]
    with made.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            task.apply_async(("a message",), producer=producer)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", count]:
            fill(int(count))
        case _:
            sys.exit(__doc__)
