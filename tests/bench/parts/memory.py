"""What the processes hold after a million sends, and whether that still grows over the second half of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import mean
from typing import Final

from tests.bench import load, processes
from tests.bench.ours import Outbox
from tests.bench.parts.accept import BODY
from tests.bench.parts.drain import await_
from tests.bench.report import Result
from tests.bench.sides import Bench

LEGS: Final = 10
SIZE: Final = 500  # of each request
SECONDS: Final = 5  # of posting, before each look


def run(bench: Bench) -> Iterator[Result]:
    """All is posted over HTTP and sent to nowhere; each look is at processes that have nothing to do.

    Every thread has a batch in hand from the beginning: a process keeps what it needed for as many as it ever had at
    once, and reaching that late would look like growth.
    """
    outbox = Outbox(bench.postgres, "memory")
    total = 100_000 if bench.quick else 1_000_000
    batch = {"notifications": [{**BODY, "message": f"{BODY['message']} ({number})"} for number in range(SIZE)]}
    looks: list[dict[str, float]] = []
    bench.progress.update(bench.task, total=(bench.progress.tasks[0].total or 0) + LEGS)
    with ExitStack() as stack:
        url = f"{stack.enter_context(outbox.web())}/api/v1/notifications/batch"
        stack.enter_context(outbox.working())
        sent = 0
        for leg in range(1, LEGS + 1):
            bench.progress.update(bench.task, description=f"memory: {sent:,} sent of {total:,}")
            while sent < total * leg / LEGS:
                posted = load.post(url, batch, outbox.headers, seconds=1 if bench.quick else SECONDS)
                sent += round(posted.rate * posted.seconds) * SIZE
            outbox.watch()
            await_(outbox.done)
            looks.append(processes.memory())
            bench.progress.advance(bench.task)
    first, second = looks[LEGS // 2 - 1 : LEGS // 2 + 1], looks[-2:]
    for kind in looks[0]:
        now, then = ([look[kind] for look in half] for half in (second, first))
        name = f"memory of {kind}, idle after {sent:,} sends"
        yield Result(name, "MB", now, "after half of them", then, goal=1.02, at_most=True)
    yield Result("memory of all", "MB", [mean(sum(look.values()) for look in second)])
