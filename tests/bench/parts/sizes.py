"""What the size of a batch does: how many are accepted in one request, and claimed and recorded in one statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from tests.bench import load
from tests.bench.ours import Outbox, Service
from tests.bench.parts.accept import BODY
from tests.bench.parts.drain import rate
from tests.bench.report import Result
from tests.bench.sides import Bench

ACCEPTED: Final = (1, 10, 100, 500, 1000)
CLAIMED: Final = (20, 50, 100, 200, 500, 1000)
ACCEPT, DRAIN = "accept by size of the request", "drain by size of the claim"


def run(bench: Bench) -> Iterator[Result]:
    yield from _accepts(bench)
    yield from _drains(bench)


def _accepts(bench: Bench) -> Iterator[Result]:
    ours = Service(bench.postgres, "sizes_accept")
    with ExitStack() as stack:
        stack.enter_context(ours.a_lease())
        url = f"{stack.enter_context(ours.web())}/api/v1/notifications"

        def posted(size: int, seconds: float) -> float:
            ours.clear()
            one = partial(load.post, headers=ours.headers, seconds=seconds)
            if size == 1:
                return one(url, BODY).rate
            return size * one(f"{url}/batch", {"notifications": [BODY] * size}, connections=4).rate

        for size in ACCEPTED:
            posted(size, 1)
        found = bench.rounds(ACCEPT, {str(size): partial(posted, size, 2 if bench.quick else 4) for size in ACCEPTED})
    for size, figures in found.items():
        yield Result(f"{ACCEPT}, {size}", "notifications/s", figures)


def _drains(bench: Bench) -> Iterator[Result]:
    count = 20_000 if bench.quick else 60_000
    outbox = {size: Outbox(bench.postgres, f"sizes_drain_{size}", BENCH_LARGEST_BATCH=str(size)) for size in CLAIMED}
    found = bench.rounds(DRAIN, {str(size): partial(rate, bench, outbox[size], count) for size in CLAIMED})
    for size, figures in found.items():
        yield Result(f"{DRAIN}, {size}", "notifications/s", figures)
