"""Each constant of the model, by a load of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import mean
from time import sleep
from typing import Final, LiteralString

from rich.console import Console

from tests.bench import growth, load, processes
from tests.bench.capacity.model import Constants, Cost
from tests.bench.capacity.spending import cost_of
from tests.bench.history.filling import fill
from tests.bench.ours import PROCESSES, Outbox
from tests.bench.parts.accept import BODY
from tests.bench.parts.drain import await_
from tests.bench.provider import provider
from tests.bench.servers import Postgres

LATENCY: Final = 0.1  # seconds
THREADS: Final = 64  # of each worker process
IN_BATCH: Final = 100
WAITING: Final = 20_000  # in a backlog, which is sent in fifteen seconds
BACKLOGS: Final = 3
PURGED: Final = 50_000
APART: Final = 20.0  # a second, one by one: each is a wake-up of its own
PACED: Final = 200.0  # a second: some web threads are busy at any time, and nobody waits for one
TABLES: Final = ("notification", "attempt", "listing")
AGED: Final[LiteralString] = "UPDATE idempotency_record SET created_at = created_at - interval '10 days'"


@contextmanager
def serving(postgres: Postgres, name: str) -> Iterator[tuple[Outbox, str]]:
    """Two web processes and two workers, which send to a provider that takes 100 ms; and the web's address."""
    with provider(round(1000 * LATENCY)) as (slack, _):
        outbox = Outbox(postgres, name, nowhere=False, SLACK_WEB_HOOK_URL=f"{slack}/services/T/B/X", CHORES="off")
        with outbox.workers(processes=PROCESSES, threads=THREADS, queue="slack"), outbox.web() as url:
            yield outbox, url


def measure(postgres: Postgres, console: Console, *, seconds: float) -> Constants:
    accept_one, accept_in_batch, key_stored = _accepts(postgres, console, seconds)
    with serving(postgres, "sending") as (outbox, url):
        with console.status("idle"):
            idle, took = cost_of(outbox, lambda: sleep(seconds))
        web_second = Cost(web=idle.web / took / PROCESSES)
        # The database has nothing to do then but for the workers: their beats, and their look each second.
        worker_second = Cost(0.0, idle.worker, idle.database, idle.wal) * (1 / took / PROCESSES)
        with console.status("a backlog"):
            backlog, took = cost_of(outbox, lambda: _send_backlogs(outbox))
        dispatch = (backlog - idle_for(took, web_second, worker_second)) * (1 / WAITING / BACKLOGS)
        stored = sum(growth.sizes_of(outbox)[table] for table in TABLES) / WAITING / BACKLOGS
        with console.status("wake-ups"):
            apart, took, count = live(outbox, url, seconds, rate=APART)
        each = (apart - idle_for(took, web_second, worker_second)) * (1 / count)
        held, sessions = processes.memory(), processes.sessions()
    return Constants(
        accept_one=accept_one,
        accept_in_batch=accept_in_batch,
        dispatch=dispatch,
        wake=each - accept_one - dispatch,
        purge=_purge(postgres, console),
        web_second=web_second,
        worker_second=worker_second,
        web_memory=held["web"] / PROCESSES,
        worker_memory=held["workers"] / PROCESSES,
        session_memory=mean(sessions),
        stored=stored,
        key_stored=key_stored,
    )


def idle_for(seconds: float, web_second: Cost, worker_second: Cost) -> Cost:
    return (web_second + worker_second) * (PROCESSES * seconds)


def live(outbox: Outbox, url: str, seconds: float, *, rate: float) -> tuple[Cost, float, int]:
    """Posted one at a time at that rate, and sent: the cost of all, until the last was sent; how long; how many."""
    before = _count(outbox, "SELECT count(*) FROM notification")

    def post_and_send() -> None:
        _post(outbox, url, seconds, rate=rate)
        outbox.watch()
        await_(outbox.done)

    cost, took = cost_of(outbox, post_and_send)
    return cost, took, _count(outbox, "SELECT count(*) FROM notification") - before


def _accepts(postgres: Postgres, console: Console, seconds: float) -> tuple[Cost, Cost, float]:
    """Of one by itself, of one in a batch, and the bytes of a key on disk. Nobody sends what is accepted."""
    outbox = Outbox(postgres, "accepting", nowhere=False)
    batch = {"notifications": [{**BODY, "message": f"{BODY['message']} ({number})"} for number in range(IN_BATCH)]}
    accepted: LiteralString = "SELECT count(*) FROM notification"
    with outbox.a_lease(), outbox.web() as url, console.status("accepts"):
        path = f"{url}/api/v1/notifications"
        load.post(path, BODY, outbox.headers, seconds=2)
        before = _count(outbox, accepted)
        one, _ = cost_of(outbox, lambda: _post(outbox, url, seconds, rate=PACED))
        ones = _count(outbox, accepted)
        key_stored = growth.sizes_of(outbox)["idempotency_record"] / ones
        many, _ = cost_of(
            outbox, lambda: load.post(f"{path}/batch", batch, outbox.headers, seconds=seconds, connections=4)
        )
        in_batches = _count(outbox, accepted) - ones
    return one * (1 / (ones - before)), many * (1 / in_batches), key_stored


def _post(outbox: Outbox, url: str, seconds: float, *, rate: float) -> load.Load:
    """One at a time, by as many connections as keep that rate where an answer takes ten milliseconds."""
    pause = load.CONNECTIONS / rate - 0.01
    return load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=seconds, pause=pause)


def _send_backlogs(outbox: Outbox) -> None:
    for _ in range(BACKLOGS):
        outbox.add(WAITING)
        outbox.watch()
        await_(outbox.done)


def _purge(postgres: Postgres, console: Console) -> Cost:
    now = datetime.now(UTC)
    outbox = Outbox(postgres, "purging")
    fill(outbox.connect, PURGED, now - timedelta(days=100), now - timedelta(days=91), listed=True)
    with outbox.connect() as connection:
        connection.execute(growth.KEYS, [PURGED])
        connection.execute(AGED)
        connection.execute("VACUUM (ANALYZE) idempotency_record")
    with console.status("a purge"):
        cost, _ = cost_of(outbox, lambda: outbox.manage("purge_notifications"))
    gone = _count(outbox, "SELECT sum(notifications) FROM purge_ledger")
    return Cost(database=cost.database, wal=cost.wal) * (1 / gone)


def _count(outbox: Outbox, query: LiteralString) -> int:
    with outbox.connect() as connection:
        row = connection.execute(query).fetchone()
    return int(str(row[0])) if row and row[0] else 0
