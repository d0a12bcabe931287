"""graphile-worker, on Node: jobs are fetched 500 at a time, acknowledged in batches, and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.bench.peers import node
from tests.bench.peers.children import Crew, run
from tests.bench.peers.remaining import Remaining

PROCESSES: Final = 2


class GraphileWorker:
    """Drains and Enqueues."""

    def __init__(self, database_url: str) -> None:
        """Raises: Unavailable."""
        self._script = node.script("graphile_worker.mjs")
        self.name = (
            f"graphile-worker {node.version('graphile-worker')}, local queue 500, batched acks, {PROCESSES} processes"
        )
        self._url = database_url
        self._crew = Crew()
        self._remaining = Remaining(database_url, "graphile_worker._private_jobs")

    def fill(self, count: int) -> None:
        run([*self._script, "fill", str(count)], DATABASE_URL=self._url)
        self._remaining.restart()

    @contextmanager
    def working(self) -> Iterator[None]:
        with self._crew.working([[*self._script, "work"]] * PROCESSES, {"DATABASE_URL": self._url}):
            yield

    def begun(self) -> bool:
        self._crew.check()
        return self._remaining.begun()

    def done(self) -> bool:
        self._crew.check()
        return self._remaining.done()

    def enqueue(self, count: int, size: int) -> float:
        return float(run([*self._script, "enqueue", str(count), str(size)], DATABASE_URL=self._url))
