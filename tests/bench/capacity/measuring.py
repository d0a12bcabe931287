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
from tests.bench.capacity.model import Broker, Constants, Cost, Singly
from tests.bench.capacity.spending import cost_of
from tests.bench.history.filling import fill
from tests.bench.ours import PROCESSES, Outbox
from tests.bench.parts.accept import BODY
from tests.bench.parts.drain import await_
from tests.bench.provider import provider
from tests.bench.servers import Postgres, rabbitmq, redis

LATENCY: Final = 0.1  # seconds
THREADS: Final = 64  # of each worker process
IN_BATCH: Final = 100
WAITING: Final = 20_000  # in a backlog, which is sent in fifteen seconds
BACKLOGS: Final = 3
PURGED: Final = 50_000
RATES: Final = (20.0, 80.0, 320.0)  # a second, one by one: from each by itself to as many as two cores can
TABLES: Final = ("notification", "attempt", "listing")
AGED: Final[LiteralString] = "UPDATE idempotency_record SET created_at = created_at - interval '10 days'"


@contextmanager
def serving(postgres: Postgres, name: str, *, broker: str = "") -> Iterator[tuple[Outbox, str]]:
    """Two web processes and two workers, which send to a provider that takes 100 ms; and the web's address."""
    with provider(round(1000 * LATENCY)) as (slack, _):
        webhook = f"{slack}/services/T/B/X"
        outbox = Outbox(postgres, name, nowhere=False, SLACK_WEB_HOOK_URL=webhook, BROKER_URL=broker, CHORES="off")
        with outbox.workers(processes=PROCESSES, threads=THREADS, queue="slack"), outbox.web() as url:
            yield outbox, url


def measure(postgres: Postgres, console: Console, *, seconds: float) -> Constants:
    accept_in_batch, key_stored = _accepts(postgres, console, seconds)
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
        singly: list[Singly] = []
        for rate in RATES:
            with console.status(f"{rate:g} a second, one by one"):
                cost, took, count = live(outbox, url, seconds, rate=rate)
            each = (cost - idle_for(took, web_second, worker_second)) * (1 / count)
            singly.append(Singly(count / took / PROCESSES, each))
        held, sessions = processes.memory(), processes.sessions()
    return Constants(
        singly=singly,
        accept_in_batch=accept_in_batch,
        dispatch=dispatch,
        purge=_purge(postgres, console),
        web_second=web_second,
        worker_second=worker_second,
        web_memory=held["web"] / PROCESSES,
        worker_memory=held["workers"] / PROCESSES,
        session_memory=mean(sessions),
        stored=stored,
        key_stored=key_stored,
        brokers=dict(_brokers(postgres, console, seconds)),
    )


def idle_for(seconds: float, web_second: Cost, worker_second: Cost) -> Cost:
    return (web_second + worker_second) * (PROCESSES * seconds)


def live(outbox: Outbox, url: str, seconds: float, *, rate: float, batch: int = 1) -> tuple[Cost, float, int]:
    """Posted at that rate (notifications a second), and sent: the cost, until the last was sent; how long; how many."""
    before = _count(outbox, "SELECT count(*) FROM notification")

    def post_and_send() -> None:
        _post(outbox, url, seconds, rate=rate / batch, batch=batch)
        outbox.watch()
        await_(outbox.done)

    cost, took = cost_of(outbox, post_and_send)
    return cost, took, _count(outbox, "SELECT count(*) FROM notification") - before


def _accepts(postgres: Postgres, console: Console, seconds: float) -> tuple[Cost, float]:
    """Of one in a batch, and the bytes of a key on disk. Nobody sends what is accepted."""
    outbox = Outbox(postgres, "accepting", nowhere=False)
    accepted: LiteralString = "SELECT count(*) FROM notification"
    with outbox.a_lease(), outbox.web() as url, console.status("accepts"):
        _post(outbox, url, seconds, batch=1)
        ones = _count(outbox, accepted)
        key_stored = growth.sizes_of(outbox)["idempotency_record"] / ones
        many, _ = cost_of(outbox, lambda: _post(outbox, url, seconds, batch=IN_BATCH))
        in_batches = _count(outbox, accepted) - ones
    return many * (1 / in_batches), key_stored


def _post(outbox: Outbox, url: str, seconds: float, *, batch: int, rate: float | None = None) -> None:
    """So many requests a second (None: all there is), by connections that wait about that long between two."""
    connections = load.CONNECTIONS if batch == 1 else 4
    pause = connections / rate if rate else 0.0
    path = f"{url}/api/v1/notifications"
    if batch == 1:
        load.post(path, BODY, outbox.headers, seconds=seconds, connections=connections, pause=pause)
        return
    several = {"notifications": [{**BODY, "message": f"{BODY['message']} ({number})"} for number in range(batch)]}
    load.post(f"{path}/batch", several, outbox.headers, seconds=seconds, connections=connections, pause=pause)


def _send_backlogs(outbox: Outbox) -> None:
    for _ in range(BACKLOGS):
        outbox.add(WAITING)
        outbox.watch()
        await_(outbox.done)


def _brokers(postgres: Postgres, console: Console, seconds: float) -> Iterator[tuple[str, Broker]]:
    for name, started in {"RabbitMQ": rabbitmq, "Redis": redis}.items():

        def used(name: str = name) -> float:
            return 1e6 * processes.processor(processes.BROKERS)[name]

        with started() as broker, serving(postgres, "nudging", broker=broker) as (outbox, url), console.status(name):
            live(outbox, url, 3, rate=RATES[1])
            began = used()
            sleep(seconds)
            second = (used() - began) / seconds
            began = used()
            _, took, count = live(outbox, url, seconds, rate=RATES[1])
            each = (used() - began - second * took) / count
            yield name, Broker(each, second, processes.memory(processes.BROKERS)[name])


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
