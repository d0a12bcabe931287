"""A full outbox emptied into nowhere by two processes: what the outbox itself costs, beside queues that record less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from time import perf_counter, sleep

from tests.bench.floor import Floor
from tests.bench.ours import Outbox
from tests.bench.peers import Drains, Unavailable
from tests.bench.peers.celery import CeleryPrefork
from tests.bench.peers.drf_dramatiq import DramatiqRedis
from tests.bench.peers.graphile_worker import GraphileWorker
from tests.bench.peers.pg_boss import PgBoss
from tests.bench.peers.pgqueuer import PgQueuer
from tests.bench.peers.procrastinate import Procrastinate
from tests.bench.report import Result
from tests.bench.sides import Bench

POLL = 0.002  # seconds
LONGEST = 180.0  # seconds for one drain
FAST, SLOW = 100_000, 4_000  # how many: enough for seconds


def run(bench: Bench) -> Iterator[Result]:
    fast = 40_000 if bench.quick else FAST
    fresh = bench.postgres.fresh
    found = _rounds(
        bench,
        {
            "ours": (lambda: Outbox(bench.postgres, "drain"), fast),
            "floor": (lambda: Floor(bench.postgres, "drain_floor"), fast),
            "pgqueuer": (lambda: PgQueuer(fresh("drain_pgqueuer")), fast),
            "graphile": (lambda: GraphileWorker(fresh("drain_graphile")), fast),
            **(
                {}
                if bench.quick
                else {
                    "pgboss": (lambda: PgBoss(fresh("drain_pgboss")), fast),
                    "procrastinate": (lambda: Procrastinate(fresh("drain_procrastinate")), SLOW),
                    "celery": (lambda: CeleryPrefork(bench.redis), SLOW),
                    "dramatiq": (lambda: DramatiqRedis(bench.redis), fast // 5),
                }
            ),
        },
    )
    goals = {"pgqueuer": 1.4, "graphile": 0.8, "floor": 0.7}
    _, ours = found.pop("ours")
    for side, (name, figures) in found.items():
        yield Result("drain to nowhere", "notifications/s", ours, name, figures, goal=goals.get(side))


def _rounds(bench: Bench, wanted: dict[str, tuple[Callable[[], Drains], int]]) -> dict[str, tuple[str, list[float]]]:
    """Side → its name and rates; without those that cannot run here."""
    names: dict[str, str] = {}
    sides: dict[str, Callable[[], float]] = {}
    for side, (make, count) in wanted.items():
        try:
            system = make()
        except Unavailable as error:
            bench.progress.console.print(f"left out: {error}")
            continue
        names[side] = system.name
        sides[side] = partial(rate, bench, system, count)
    figures = bench.rounds("drain", sides)
    return {side: (names[side], figures[side]) for side in figures}


def rate(bench: Bench, system: Drains, count: int) -> float:
    """Jobs per second."""
    return drained(bench, system, count, system.working())


def drained(bench: Bench, system: Drains, count: int, working: AbstractContextManager[None]) -> float:
    """Jobs per second, from the first that is finished to the last."""
    system.fill(count)
    bench.postgres.settle()
    with working:
        began = await_(system.begun)
        return count / (await_(system.done) - began)


def await_(reached: Callable[[], bool]) -> float:
    until = perf_counter() + LONGEST
    while not reached():
        if perf_counter() > until:
            raise SystemExit(f"a drain is not through after {LONGEST:.0f} s")
        sleep(POLL)
    return perf_counter()
