"""How much more two and three hosts do than one, until which resource of this one machine is full."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from shutil import which
from statistics import median
from time import monotonic
from typing import Final

import psutil
import pytest

from notifications.states import Priority
from tests.bench import load
from tests.bench.ours import FILL, WRITTEN
from tests.bench.parts.accept import BODY
from tests.bench.parts.waiting import MIDDLE
from tests.bench.processes import processor
from tests.bench.provider import provider
from tests.eventually import eventually
from tests.faults.database.servers import Session
from tests.hosts.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS: Final = 3
LATENCY: Final = 100  # ms of the provider that takes a while
SECONDS: Final = 6  # of each drain at the ideal: threads divided by latency
FAST: Final = 60_000  # notifications of a drain to nowhere: seconds
BURST: Final = 5.0  # seconds of accepting

# Each by its own partial index. Rows: one if anything is left.
OPEN: Final = """
SELECT 1 FROM notification WHERE status = 'pending'
UNION ALL SELECT 1 FROM notification WHERE status = 'sending' LIMIT 1
"""


@dataclass
class Row:
    """What so many hosts came to, in each round."""

    name: str
    hosts: int
    ideal: float | None = None
    rates: list[float] = field(default_factory=list)  # a second
    used: list[dict[str, float]] = field(default_factory=list)  # shares of all processors by kind, and of the machine
    each: list[dict[str, float]] = field(default_factory=list)  # processor time of one notification by kind, µs

    def measured(self, use: Callable[[], tuple[float, int]]) -> None:
        """`use`: returns a rate, and of how many that is."""
        before, busy, began = processor(), _busy(), monotonic()
        rate, count = use()
        lasted = (monotonic() - began) * (os.cpu_count() or 1)
        spent = {kind: seconds - before[kind] for kind, seconds in processor().items()}
        self.rates.append(rate)
        self.used.append({"machine": (_busy() - busy) / lasted} | {k: each / lasted for k, each in spent.items()})
        self.each.append({kind: 1e6 * each / count for kind, each in spent.items()})

    def line(self, first: Row) -> str:
        rate = median(self.rates)
        used = ", ".join(f"{kind} {share:.0%}" for kind, share in _medians(self.used).items() if share >= 0.005)
        each = ", ".join(f"{kind} {spent:,.0f} µs" for kind, spent in _medians(self.each).items() if spent >= 0.5)
        ideal = f" ({rate / self.ideal:.0%} of the ideal)" if self.ideal else ""
        more = rate / median(first.rates)
        hosts = f"{self.hosts} host{'s' * (self.hosts > 1)}"
        return f"{self.name}, {hosts}: {rate:,.0f}/s, {more:.2f} times one{ideal}; processors: {used}; of each: {each}"


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(each[name] for each in found) for name in found[0]}


def _busy() -> float:
    """Seconds that the machine's processors have worked so far, for whomever."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)


@contextmanager
def workers_on(installation: Installation, hosts: int, *, threads: int, **variables: str) -> Iterator[None]:
    """One on each of so many worker hosts, all of its threads for one channel."""
    site = installation.site
    variables = {"DJANGO_SETTINGS_MODULE": "tests.bench.settings", "LOG_LEVEL": "info", **variables}
    started = [
        site.start_worker("--queues", "slack", on=host, threads=threads, **variables)
        for host in installation.hosts.workers[:hosts]
    ]
    try:
        yield
    finally:
        for running, _ in started:
            running.terminate()
        for running, _ in started:
            running.wait(60)
            site.end(running)


def fill(operator: Session, count: int) -> None:
    """Nobody is woken: the workers see them at their next look, within a second."""
    lane = {"channel": "slack", "lane": "slack", "client": 1, "recipient": "default", "subject": ""}
    operator.execute(FILL, {"count": count, "priority": Priority.NORMAL, **lane})


def drained(operator: Session, count: int) -> tuple[float, int]:
    """Notifications a second, of the middle half: threads are recruited at first, and have nothing left at last."""
    operator.execute("ANALYZE notification")
    eventually(lambda: operator.execute(OPEN).fetchone() is None, seconds=180, what="an empty outbox")
    row = operator.execute(MIDDLE).fetchone()
    assert row is not None
    sent = operator.execute("SELECT count(*) FROM notification WHERE status = 'sent' AND attempt = 1").fetchone()
    assert sent == (count,), "each was sent at its first attempt"
    return float(row[0]), count


def clear(operator: Session) -> None:
    operator.execute(f"TRUNCATE {WRITTEN}".encode())
    operator.execute("CHECKPOINT")


def measure(installation: Installation, name: str, *, threads: int, count: int, **variables: str) -> list[Row]:
    """With one, two and three worker hosts; `count`: for each host, and for all where there is no ideal."""
    rows = []
    with installation.database.server.connect() as operator:
        for hosts in (1, 2, 3):
            ideal = None if "BENCH_NOWHERE" in variables else hosts * threads * 1000 / LATENCY
            row = Row(name, hosts, ideal)
            with workers_on(installation, hosts, threads=threads, **variables):
                for nth in range(ROUNDS + 1):
                    number = count * hosts if ideal else count
                    fill(operator, number)
                    if nth:
                        row.measured(partial(drained, operator, number))
                    else:
                        drained(operator, number)  # plans are made, connections are opened
                    clear(operator)
            rows.append(row)
    return rows


@pytest.mark.parametrize("threads", [32, 96])
def test_worker_hosts_and_a_provider_that_takes_100_ms(
    installation: Installation, tell: list[str], threads: int
) -> None:
    at = installation.hosts.provider
    with at:
        serving = provider(LATENCY, at.address)
        url, _ = serving.__enter__()
    try:
        rows = measure(
            installation,
            f"{threads} threads each",
            threads=threads,
            count=threads * SECONDS * 1000 // LATENCY,
            SLACK_WEB_HOOK_URL=f"{url}/services/T/B/X",
        )
    finally:
        serving.__exit__(None, None, None)
    tell += [row.line(rows[0]) for row in rows]


def test_worker_hosts_that_send_nowhere(installation: Installation, tell: list[str]) -> None:
    rows = measure(installation, "drain to nowhere", threads=32, count=FAST, BENCH_NOWHERE="1")
    tell += [row.line(rows[0]) for row in rows]


def test_web_hosts_that_accept_as_fast_as_they_can(installation: Installation, tell: list[str]) -> None:
    if which("wrk") is None:
        pytest.skip("needs wrk (Debian: apt-get install wrk)")
    site, hosts = installation.site, installation.hosts
    site.start_on(hosts.webs, [])
    headers = {"Authorization": f"Bearer {site.api_key}"}

    def post(url: str, connections: int, seconds: float) -> float:
        with hosts.clients:
            target = f"{url}/api/v1/notifications"
            return load.post(target, BODY, headers, seconds=seconds, connections=connections).rate

    def accept(number: int, seconds: float = BURST) -> tuple[float, int]:
        """Requests a second through so many hosts."""
        with ThreadPoolExecutor(number) as pool:
            rates = pool.map(lambda url: post(url, load.CONNECTIONS // number, seconds), site.urls[:number])
            rate = sum(rates)
        return rate, round(rate * seconds)

    rows = [Row("accept over HTTP", number) for number in (1, 2)]
    with installation.database.server.connect() as operator:
        for row in rows:
            accept(row.hosts, 2)
            for _ in range(ROUNDS):
                row.measured(partial(accept, row.hosts))
                clear(operator)
    tell += [row.line(rows[0]) for row in rows]
