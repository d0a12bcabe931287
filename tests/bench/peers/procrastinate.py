"""procrastinate: a row of state and several of events for each job, on uvloop and psycopg.

A module of its own process: python -m tests.bench.peers.procrastinate fill COUNT | work | enqueue COUNT SIZE
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Final

from tests.bench.peers.children import module, wait_for_go
from tests.bench.peers.in_postgres import PROCESSES, InPostgres
from tests.bench.peers.remaining import Remaining

if TYPE_CHECKING:
    from procrastinate import App
    from procrastinate.types import JSONDict

CONCURRENCY: Final = 8  # jobs at a time in each
FILL_SIZE: Final = 1_000


class Procrastinate(InPostgres):
    def __init__(self, database_url: str) -> None:
        super().__init__(
            database_url,
            name=f"procrastinate {version('procrastinate')}, {PROCESSES} processes, concurrency {CONCURRENCY} each",
            program=module("procrastinate"),
            remaining=Remaining(database_url, "procrastinate_jobs", open_when="status IN ('todo', 'doing')"),
        )


def application() -> App:
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"], min_size=2, max_size=CONCURRENCY + 2))

    async def nothing(message: str) -> None:
        return

    app.task(name="nothing")(nothing)
    return app


async def enqueue(count: int, size: int) -> float:
    """Seconds, in an empty store."""
    app = application()
    async with app.open_async():
        found = await app.connector.execute_query_one_async("SELECT to_regclass('procrastinate_jobs') AS found")
        if found["found"] is None:
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
        task = app.configure_task("nothing")
        message: JSONDict = {"message": "a message"}
        began = perf_counter()
        for start in range(0, count, size):
            await task.batch_defer_async(*[message] * min(size, count - start))
        return perf_counter() - began


async def work() -> None:
    app = application()
    async with app.open_async():
        wait_for_go()
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    import uvloop

    logging.basicConfig(level=logging.ERROR)
    match sys.argv[1:]:
        case ["fill", count]:
            uvloop.run(enqueue(int(count), FILL_SIZE))
        case ["enqueue", count, size]:
            print(uvloop.run(enqueue(int(count), int(size))))
        case ["work"]:
            uvloop.run(work())
        case _:
            sys.exit(__doc__)
