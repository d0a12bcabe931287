"""graphile-worker, on Node: jobs are fetched 500 at a time, acknowledged in batches, and deleted."""

from __future__ import annotations

from tests.bench.peers import node
from tests.bench.peers.in_postgres import PROCESSES, InPostgres
from tests.bench.peers.remaining import Remaining


class GraphileWorker(InPostgres):
    def __init__(self, database_url: str) -> None:
        """Raises: Unavailable."""
        super().__init__(
            database_url,
            name=(
                f"graphile-worker {node.version('graphile-worker')}, local queue 500, batched acks, "
                f"{PROCESSES} processes"
            ),
            program=node.script("graphile_worker.mjs"),
            remaining=Remaining(database_url, "graphile_worker._private_jobs"),
        )
