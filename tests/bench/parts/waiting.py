"""Sends to a provider that takes 100 ms, by real HTTP: how near to the ideal, threads divided by latency."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.bench.ours import Outbox
from tests.bench.parts.drain import drained
from tests.bench.provider import provider
from tests.bench.report import Result
from tests.bench.sides import Bench

LATENCY = 100  # ms
PROCESSES = 2
THREADS = (16, 32, 75)  # of each process


def run(bench: Bench) -> Iterator[Result]:
    with provider(LATENCY) as (url, _):
        outbox = Outbox(bench.postgres, "waiting", nowhere=False, SLACK_WEB_HOOK_URL=f"{url}/services/T/B/X")

        def rate(threads: int) -> float:
            seconds = 4 if bench.quick else 16  # of which the first and the last are not full flow
            count = PROCESSES * threads * seconds * 1000 // LATENCY
            return drained(bench, outbox, count, outbox.workers(processes=PROCESSES, threads=threads, queue="slack"))

        sides = {str(threads): partial(rate, threads) for threads in (THREADS[-1:] if bench.quick else THREADS)}
        found = bench.rounds("waiting", sides)
    for threads, figures in found.items():
        ideal = PROCESSES * int(threads) * 1000 / LATENCY
        name = f"provider of {LATENCY} ms, {PROCESSES} processes of {threads} threads"
        yield Result(name, "notifications/s", figures, "the ideal", [ideal] * len(figures), goal=0.85)
