"""What so many notifications a second need, from what each was measured to cost: docs/scaling.md is written by it.

Processor time adds up: what a notification costs was measured, and a load is so many of them. One that comes by itself
costs the more the fewer there are, as it shares neither a commit nor a claim nor a wake-up with any other; so that one
was measured at several rates, and between these it is read off. This holds until a resource is full; what it says is
how much of each there has to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log
from typing import Final

from tests.bench.ours import PROCESSES

# Of a core, of a disk, of threads: what is planned for more than this has no room for a peak, nor for the others to
# take over when one of them dies.
FILLED_TO: Final = 0.6
DAY: Final = 86_400  # seconds
LEAST: Final = 2  # processes of each kind: one may die
THREADS: Final = 64  # of a worker process: more than its core can keep busy where a provider takes 60 ms
WEB_SESSIONS: Final = 9  # of each process: one for each of its threads, and one that nudges
WORKER_SESSIONS: Final = 9  # at most: its pool, its beat, one that listens and one that nudges


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time in microseconds, and bytes of WAL."""

    web: float = 0.0
    worker: float = 0.0
    database: float = 0.0
    wal: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.web + other.web, self.worker + other.worker, self.database + other.database, self.wal + other.wal
        )

    def __mul__(self, times: float) -> Cost:
        return Cost(self.web * times, self.worker * times, self.database * times, self.wal * times)

    def __sub__(self, other: Cost) -> Cost:
        return self + other * -1


@dataclass(frozen=True, slots=True)
class Singly:
    """What one notification costs that is posted by itself and sent at once: accepted, claimed, sent, recorded."""

    rate: float  # such requests a second for each process of web and workers, of which there were PROCESSES each
    each: Cost


@dataclass(frozen=True, slots=True)
class Broker:
    each: float  # microseconds of its processor for each wake-up, of singles of which each is one
    second: float  # microseconds in a second without any
    memory: float  # MB


@dataclass(frozen=True, slots=True)
class Constants:
    """As `make bench-capacity` measures them."""

    singly: Sequence[Singly]  # in the order of their rates
    accept_in_batch: Cost  # each notification of a request with a hundred
    dispatch: Cost  # each of many that wait: its part of a claim and of a record, and its send by HTTP
    purge: Cost  # each that is deleted, with its attempt and its key
    web_second: Cost  # a second of one idle web process
    worker_second: Cost  # likewise of one worker process
    web_memory: float  # MB of one process
    worker_memory: float
    session_memory: float  # MB of one of Postgres' sessions
    stored: float  # bytes on disk of each that is kept, with its attempt and its places in lists
    key_stored: float  # bytes of its key, for as long as keys live
    brokers: Mapping[str, Broker]


@dataclass(frozen=True, slots=True)
class Load:
    rate: float  # notifications a second
    batch: int = 1  # of each request
    latency: float = 0.1  # seconds that a provider takes for each
    lanes: int = 3  # among which they are spread
    kept: float = 90.0  # days
    keys_kept: float = 3.0  # days


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run so that each part is filled to FILLED_TO at most."""

    web_cores: float  # used
    worker_cores: float
    database_cores: float
    broker_cores: Mapping[str, float]  # of each broker, where it is the one
    webs: int  # processes
    workers: int  # processes, of THREADS each
    sessions: int  # of Postgres
    wal: float  # MB a second
    memory: float  # GB of web and workers
    session_memory: float  # GB of Postgres' sessions, beside its shared buffers
    disk: float  # GB, of what is kept


def spent(load: Load, constants: Constants, *, webs: int, workers: int) -> Cost:
    """Each second, by so many processes of each kind.

    A request costs what a single one does, and what comes with it the little that others of a batch do.
    """
    requests = load.rate / load.batch
    others = (constants.accept_in_batch + constants.dispatch) * (load.rate - requests)
    idle = constants.web_second * webs + constants.worker_second * workers
    # Postgres has all of them, but no claim or record is for two lanes.
    by_lane = singly(requests / load.lanes / PROCESSES, constants)
    first = Cost(
        singly(requests / webs, constants).web,
        singly(requests / workers, constants).worker,
        by_lane.database,
        by_lane.wal,
    )
    return first * requests + others + idle


def singly(rate: float, constants: Constants) -> Cost:
    """Of each at that rate for each process: as the nearest that were measured, and in proportion between two."""
    measured = constants.singly
    if rate <= measured[0].rate:
        return measured[0].each
    for slower, faster in pairwise(measured):
        if rate <= faster.rate:
            part = log(rate / slower.rate) / log(faster.rate / slower.rate)
            return slower.each * (1 - part) + faster.each * part
    return measured[-1].each


def plan(load: Load, constants: Constants) -> Plan:
    webs = workers = LEAST
    while True:
        each_second = spent(load, constants, webs=webs, workers=workers) + constants.purge * load.rate
        # A process has one core at most, because Python runs one thread at a time.
        needed_webs = max(LEAST, ceil(each_second.web / 1e6 / FILLED_TO))
        sending = load.rate * load.latency
        needed_workers = max(LEAST, ceil(each_second.worker / 1e6 / FILLED_TO), ceil(sending / THREADS / FILLED_TO))
        if needed_webs <= webs and needed_workers <= workers:
            break
        webs, workers = max(webs, needed_webs), max(workers, needed_workers)
    sessions = webs * WEB_SESSIONS + workers * WORKER_SESSIONS
    stored = load.kept * constants.stored + load.keys_kept * constants.key_stored
    return Plan(
        web_cores=each_second.web / 1e6,
        worker_cores=each_second.worker / 1e6,
        database_cores=each_second.database / 1e6,
        broker_cores={
            name: (broker.second + broker.each * load.rate / load.batch) / 1e6
            for name, broker in constants.brokers.items()
        },
        webs=webs,
        workers=workers,
        sessions=sessions,
        wal=each_second.wal / 1e6,
        memory=(webs * constants.web_memory + workers * constants.worker_memory) / 1e3,
        session_memory=sessions * constants.session_memory / 1e3,
        disk=load.rate * DAY * stored / 1e9,
    )
