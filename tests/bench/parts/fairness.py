"""A client's single posts on a lane where another's backlog is being sent: from the commit to the provider's socket.

The provider takes 50 ms, so that every thread is at work on the backlog and a post waits for one to claim again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from statistics import median, quantiles

from notifications.states import Priority
from tests.bench.ours import Service
from tests.bench.parts.drain import await_
from tests.bench.parts.latency import times
from tests.bench.provider import provider
from tests.bench.report import Result
from tests.bench.sides import Bench

LATENCY = 50  # ms
POSTS = 100
BACKLOG = 20_000  # more than is sent meanwhile
LANE = "slack:default"
OTHER = 2  # the client whose it is


def run(bench: Bench) -> Iterator[Result]:
    with provider(LATENCY) as (url, server):
        service = Service(bench.postgres, "fairness", SLACK_WEB_HOOK_URL=f"{url}/services/T/B/X")
        with service.workers(queue="slack"):
            side = partial(_times, bench, service, server)
            found = bench.rounds(
                "fairness",
                {
                    "alone": side,
                    "beside a backlog": partial(side, backlog=Priority.NORMAL),
                    "low beside a backlog of high": partial(side, backlog=Priority.HIGH, priority=Priority.LOW),
                },
            )
    alone = found.pop("alone")
    for name, runs in found.items():
        for part, figure in (("p50", median), ("p99", _hundredth)):
            ours, quiet = [figure(each) for each in runs], [figure(each) for each in alone]
            yield Result(
                f"commit to provider, {name}, {part}", "ms", ours, "with nothing beside it", quiet, at_most=True
            )


def _times(
    bench: Bench,
    service: Service,
    provider: subprocess.Popen[bytes],
    *,
    backlog: Priority | None = None,
    priority: Priority = Priority.NORMAL,
) -> list[float]:
    if backlog is not None:
        service.fill(BACKLOG, lane=LANE, client=OTHER, priority=backlog)
    try:
        return times(service, provider, posts=20 if bench.quick else POSTS, priority=priority)
    finally:
        _cut_short(service)


def _cut_short(service: Service) -> None:
    """Take away what waits, and let what was claimed end."""
    with service.connect() as connection:
        connection.execute("DELETE FROM notification WHERE status = 'pending'")
        await_(lambda: connection.execute("SELECT FROM notification WHERE status = 'sending'").rowcount == 0)


def _hundredth(figures: list[float]) -> float:
    return quantiles(figures, n=100)[98]
