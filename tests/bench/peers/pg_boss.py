"""pg-boss, on Node: batches of 500, every job's row is kept with its state and times."""

from __future__ import annotations

from tests.bench.peers import node
from tests.bench.peers.in_postgres import PROCESSES, InPostgres
from tests.bench.peers.remaining import Remaining


class PgBoss(InPostgres):
    def __init__(self, database_url: str) -> None:
        """Raises: Unavailable."""
        # Their order is that of their insertion; an index on (name, created_on) serves it.
        remaining = Remaining(
            database_url,
            "pgboss.job_common",
            order="created_on",
            open_when="name = 'nothing' AND state IN ('created', 'retry', 'active')",
        )
        super().__init__(
            database_url,
            name=f"pg-boss {node.version('pg-boss')}, batch 500, {PROCESSES} processes",
            program=node.script("pg_boss.mjs"),
            remaining=remaining,
        )

    def begun(self) -> bool:
        self._crew.check()
        return self._remaining.ask("SELECT FROM {} WHERE name = 'nothing' AND completed_on IS NOT NULL LIMIT 1")
