"""PgQueuer: Postgres by asyncpg, results logged in batches. On uvloop, as its own command runs it.

A module of its own process: python -m tests.bench.peers.pgqueuer fill COUNT | work | enqueue COUNT SIZE
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from importlib.metadata import version
from time import perf_counter
from typing import Final

from tests.bench.peers.children import module, wait_for_go
from tests.bench.peers.in_postgres import PROCESSES, InPostgres
from tests.bench.peers.remaining import Remaining

BATCH: Final = 500
TASK: Final = "nothing"
FILL_SIZE: Final = 1_000


class PgQueuer(InPostgres):
    def __init__(self, database_url: str) -> None:
        super().__init__(
            database_url,
            name=f"pgqueuer {version('pgqueuer')}, batch {BATCH}, {PROCESSES} processes",
            program=module("pgqueuer"),
            remaining=Remaining(database_url, "pgqueuer"),
        )


async def enqueue(count: int, size: int) -> float:
    """Seconds, in an empty store."""
    import asyncpg
    from pgqueuer import Queries

    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    queries = Queries.from_asyncpg_connection(connection)
    if not await queries.schema_is_installed():
        await queries.install()
    await queries.clear_queue()
    await connection.execute("TRUNCATE pgqueuer_log, pgqueuer_statistics")
    began = perf_counter()
    for start in range(0, count, size):
        part = min(size, count - start)
        await queries.enqueue([TASK] * part, [b"a message"] * part, [0] * part)
    took = perf_counter() - began
    await connection.close()
    return took


async def work() -> None:
    import asyncpg
    from pgqueuer import Job, PgQueuer

    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    queue = PgQueuer.from_asyncpg_connection(connection)

    async def nothing(_: Job) -> None:
        return

    queue.entrypoint(TASK)(nothing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.shutdown.set)
    wait_for_go()
    await queue.run(batch_size=BATCH)
    await connection.close()


if __name__ == "__main__":
    import uvloop

    match sys.argv[1:]:
        case ["fill", count]:
            uvloop.run(enqueue(int(count), FILL_SIZE))
        case ["enqueue", count, size]:
            print(uvloop.run(enqueue(int(count), int(size))))
        case ["work"]:
            uvloop.run(work())
        case _:
            sys.exit(__doc__)
