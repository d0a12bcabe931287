"""pg-boss, on Node: batches of 500, every job's row is kept with its state and times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.bench.peers import node
from tests.bench.peers.children import Crew, run
from tests.bench.peers.remaining import Remaining

PROCESSES: Final = 2


class PgBoss:
    """Drains and Enqueues."""

    def __init__(self, database_url: str) -> None:
        """Raises: Unavailable."""
        self._script = node.script("pg_boss.mjs")
        self.name = f"pg-boss {node.version('pg-boss')}, batch 500, {PROCESSES} processes"
        self._url = database_url
        self._crew = Crew()
        # Their order is that of their insertion; an index on (name, created_on) serves it.
        self._remaining = Remaining(
            database_url,
            "pgboss.job_common",
            order="created_on",
            open_when="name = 'nothing' AND state IN ('created', 'retry', 'active')",
        )

    def fill(self, count: int) -> None:
        run([*self._script, "fill", str(count)], DATABASE_URL=self._url)
        self._remaining.restart()

    @contextmanager
    def working(self) -> Iterator[None]:
        with self._crew.working([[*self._script, "work"]] * PROCESSES, {"DATABASE_URL": self._url}):
            yield

    def begun(self) -> bool:
        self._crew.check()
        return self._remaining.ask("SELECT FROM {} WHERE name = 'nothing' AND completed_on IS NOT NULL LIMIT 1")

    def done(self) -> bool:
        self._crew.check()
        return self._remaining.done()

    def enqueue(self, count: int, size: int) -> float:
        return float(run([*self._script, "enqueue", str(count), str(size)], DATABASE_URL=self._url))
