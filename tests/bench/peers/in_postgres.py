"""What every peer that keeps its queue in Postgres does alike: a program of its own that fills, works and enqueues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tests.bench.peers.children import Crew, run
from tests.bench.peers.remaining import Remaining

PROCESSES: Final = 2


class InPostgres:
    """Drains and Enqueues, by a program that is told DATABASE_URL: fill COUNT | work | enqueue COUNT SIZE."""

    def __init__(self, database_url: str, *, name: str, program: Sequence[str], remaining: Remaining) -> None:
        self.name = name
        self._url = database_url
        self._program = program
        self._crew = Crew()
        self._remaining = remaining

    def fill(self, count: int) -> None:
        run([*self._program, "fill", str(count)], DATABASE_URL=self._url)
        self._remaining.restart()

    @contextmanager
    def working(self) -> Iterator[None]:
        with self._crew.working([[*self._program, "work"]] * PROCESSES, {"DATABASE_URL": self._url}):
            yield

    def begun(self) -> bool:
        self._crew.check()
        return self._remaining.begun()

    def done(self) -> bool:
        self._crew.check()
        return self._remaining.done()

    def enqueue(self, count: int, size: int) -> float:
        return float(run([*self._program, "enqueue", str(count), str(size)], DATABASE_URL=self._url))
