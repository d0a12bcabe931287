"""One provider hangs for ten seconds on every request, with ten thousand waiting for it: what another channel notices.

It answers in the end, so that no circuit opens: every thread that may wait for it does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from statistics import median, quantiles

from tests.bench.ours import Service
from tests.bench.parts.drain import await_
from tests.bench.parts.latency import times
from tests.bench.provider import provider
from tests.bench.report import Result
from tests.bench.sides import Bench

HANGS = 10_000  # ms
WAITING = 10_000
POSTS = 300
PER_PROCESS = 8  # threads of 32 that each of four channels has


def run(bench: Bench) -> Iterator[Result]:
    with provider(0) as (quick, server), provider(HANGS) as (hanging, _):
        service = Service(
            bench.postgres,
            "bulkheads",
            SLACK_WEB_HOOK_URL=f"{quick}/services/T/B/X",
            TWILIO_BASE_URL=hanging,
        )
        side = partial(_times, bench, service, server)
        found = bench.rounds("bulkheads", {"quiet": side, "hanging": partial(side, hanging=True)})
    for part, figure, goal in (("p50", median, None), ("p99", _hundredth, 2.0)):
        ours, quiet = [figure(each) for each in found["hanging"]], [figure(each) for each in found["quiet"]]
        name = f"commit to provider while another hangs, {part}"
        yield Result(name, "ms", ours, "while none does", quiet, goal=goal, at_most=True)


def _times(bench: Bench, service: Service, provider: subprocess.Popen[bytes], *, hanging: bool = False) -> list[float]:
    """Of workers of its own: those that hang would do so into the next side."""
    if hanging:
        service.fill(WAITING, channel="sms")
    with service.connect() as connection:
        try:
            with service.workers():
                if hanging:
                    begun = "SELECT FROM notification WHERE started_at IS NOT NULL"
                    await_(lambda: connection.execute(begun).rowcount >= 2 * PER_PROCESS)
                return times(service, provider, posts=100 if bench.quick else POSTS)
        finally:
            connection.execute("DELETE FROM notification WHERE status <> 'sent'")


def _hundredth(figures: list[float]) -> float:
    return quantiles(figures, n=100)[98]
