"""Each constant of the model, and the loads that it is to foretell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from statistics import mean, median
from time import monotonic, sleep
from typing import Final, LiteralString

from rich.console import Console

from tests.bench import growth, processes
from tests.bench.capacity.model import THREADS, Broker, Constants, Cost, Load, Singly
from tests.bench.capacity.spending import cost_of
from tests.bench.history.filling import fill
from tests.bench.load import CONNECTIONS, post
from tests.bench.ours import PROCESSES, Outbox
from tests.bench.parts.accept import BODY
from tests.bench.parts.drain import await_
from tests.bench.provider import provider
from tests.bench.servers import Postgres, rabbitmq, redis

LATENCY: Final = 0.1  # seconds
IN_BATCH: Final = 100
BACKLOG: Final = 1.0  # seconds in which it is accepted; sending it takes twenty
PURGED: Final = 50_000
RATES: Final = (20.0, 80.0, 320.0)  # a second, one by one: from each by itself to nearly as many as two cores can
# Nothing is taken from these: they are foretold.
CHECKED: Final = (Load(150, latency=LATENCY, lanes=1), Load(600, batch=IN_BATCH, latency=LATENCY, lanes=1))
ROUNDS: Final = 3
TABLES: Final = ("notification", "attempt", "listing")
ALL: Final[LiteralString] = "SELECT count(*) FROM notification"
AGED: Final[LiteralString] = "UPDATE idempotency_record SET created_at = created_at - interval '10 days'"


@contextmanager
def serving(postgres: Postgres, name: str, *, broker: str = "") -> Iterator[tuple[Outbox, str]]:
    """Two web processes and two workers, which send to a provider that takes 100 ms; and the web's address."""
    with provider(round(1000 * LATENCY)) as (slack, _):
        webhook = f"{slack}/services/T/B/X"
        outbox = Outbox(postgres, name, nowhere=False, SLACK_WEB_HOOK_URL=webhook, BROKER_URL=broker, CHORES="off")
        with outbox.workers(processes=PROCESSES, threads=THREADS, queue="slack"), outbox.web() as url:
            yield outbox, f"{url}/api/v1/notifications"


@dataclass(frozen=True, slots=True)
class Live:
    """What a load came to."""

    rate: float  # notifications a second
    second: Cost  # of each second

    @classmethod
    def median(cls, rounds: Sequence[Live]) -> Live:
        costs = [asdict(each.second) for each in rounds]
        half = {part: median(cost[part] for cost in costs) for part in costs[0]}
        return cls(median(each.rate for each in rounds), Cost(**half))


def measure(postgres: Postgres, console: Console, *, seconds: float) -> tuple[Constants, list[tuple[Load, Cost]]]:
    """The constants, and what each second of CHECKED cost; each load is the median of ROUNDS, in turn."""
    accept_in_batch, key_stored = _accepts(postgres, console, seconds)
    with serving(postgres, "sending") as (outbox, url):
        with console.status("idle"):
            idle, took = cost_of(outbox, lambda: sleep(seconds))
        web_second = Cost(web=idle.web / took / PROCESSES)
        # The database has nothing to do then but for the workers: their beats, and their look each second.
        worker_second = Cost(0.0, idle.worker, idle.database, idle.wal) * (1 / took / PROCESSES)
        with console.status("a backlog"):
            backlog = live(outbox, url, Load(inf, batch=IN_BATCH), seconds=BACKLOG)
        stored = sum(growth.sizes_of(outbox)[table] for table in TABLES) / _count(outbox, ALL)
        loads = [*map(Load, RATES), *CHECKED]
        found: list[list[Live]] = [[] for _ in loads]
        for number in range(ROUNDS):
            for load, rounds in zip(loads, found, strict=True):
                with console.status(f"{load.rate:g} a second, {load.batch} in a request, {number + 1} of {ROUNDS}"):
                    rounds.append(live(outbox, url, load, seconds=seconds))
        halves = [Live.median(rounds) for rounds in found]
        held, sessions = processes.memory(), processes.sessions()
    idle_second = (web_second + worker_second) * PROCESSES
    constants = Constants(
        singly=[
            Singly(each.rate / PROCESSES, (each.second - idle_second) * (1 / each.rate))
            for each in halves[: len(RATES)]
        ],
        accept_in_batch=accept_in_batch,
        dispatch=(backlog.second - idle_second) * (1 / backlog.rate) - accept_in_batch,
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
    checks = zip(CHECKED, halves[len(RATES) :], strict=True)
    return constants, [(replace(load, rate=each.rate), each.second) for load, each in checks]


def live(outbox: Outbox, url: str, load: Load, *, seconds: float) -> Live:
    """Posted at that rate (inf: all there is) for so long, and sent: until the last was."""
    before = _count(outbox, ALL)

    def post_and_send() -> None:
        _post(outbox, url, seconds, load)
        outbox.watch()
        await_(outbox.done)

    cost, took = cost_of(outbox, post_and_send)
    return Live((_count(outbox, ALL) - before) / took, cost * (1 / took))


def _accepts(postgres: Postgres, console: Console, seconds: float) -> tuple[Cost, float]:
    """Of one in a batch, and the bytes of a key on disk. Nobody sends what is accepted."""
    outbox = Outbox(postgres, "accepting", nowhere=False)
    with outbox.a_lease(), outbox.web() as address, console.status("accepts"):
        url = f"{address}/api/v1/notifications"
        _post(outbox, url, seconds, Load(inf))
        ones = _count(outbox, ALL)
        key_stored = growth.sizes_of(outbox)["idempotency_record"] / ones
        many, _ = cost_of(outbox, lambda: _post(outbox, url, seconds, Load(inf, batch=IN_BATCH)))
        in_batches = _count(outbox, ALL) - ones
    return many * (1 / in_batches), key_stored


def _post(outbox: Outbox, url: str, seconds: float, load: Load) -> None:
    """By connections that wait about as long between two requests as the rate asks for."""
    connections = CONNECTIONS if load.batch == 1 else 4
    pause = connections * load.batch / load.rate
    body: object = BODY
    if load.batch > 1:
        texts = [f"{BODY['message']} ({number})" for number in range(load.batch)]
        url, body = f"{url}/batch", {"notifications": [{**BODY, "message": text} for text in texts]}
    post(url, body, outbox.headers, seconds=seconds, connections=connections, pause=pause)


def _brokers(postgres: Postgres, console: Console, seconds: float) -> Iterator[tuple[str, Broker]]:
    for name, started in {"RabbitMQ": rabbitmq, "Redis": redis}.items():

        def used(name: str = name) -> float:
            return 1e6 * processes.processor(processes.BROKERS)[name]

        with started() as broker, serving(postgres, "nudging", broker=broker) as (outbox, url), console.status(name):
            live(outbox, url, Load(RATES[1]), seconds=3)
            began = used()
            sleep(seconds)
            second = (used() - began) / seconds
            began, since = used(), monotonic()
            found = live(outbox, url, Load(RATES[1]), seconds=seconds)
            each = ((used() - began) / (monotonic() - since) - second) / found.rate
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
