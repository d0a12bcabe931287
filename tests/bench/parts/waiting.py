"""Sends to a provider that takes 100 ms, by real HTTP: how near to the ideal, threads divided by latency.

The ideal knows no beginning and no end: in a drain's first second threads are recruited still, and in its last two some
have a batch in hand and others nothing. So the middle half of a drain is judged; the whole is shown beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final, LiteralString, NamedTuple

from tests.bench.ours import Outbox
from tests.bench.parts.drain import drained
from tests.bench.provider import provider
from tests.bench.report import Result
from tests.bench.sides import Bench

LATENCY: Final = 100  # ms
PROCESSES: Final = 2
THREADS: Final = (16, 32, 75)  # of each process
SECONDS: Final = 16  # of each drain, at the ideal
MIDDLE: Final[LiteralString] = """
SELECT count(*) / 2 / extract(epoch FROM percentile_disc(0.75) WITHIN GROUP (ORDER BY finished_at)
                                       - percentile_disc(0.25) WITHIN GROUP (ORDER BY finished_at))
FROM attempt
"""


class _Rates(NamedTuple):
    """Notifications a second."""

    middle: float
    whole: float


def run(bench: Bench) -> Iterator[Result]:
    with provider(LATENCY) as (url, _):
        outbox = Outbox(bench.postgres, "waiting", nowhere=False, SLACK_WEB_HOOK_URL=f"{url}/services/T/B/X")

        def rates(threads: int) -> _Rates:
            count = PROCESSES * threads * (SECONDS // 2 if bench.quick else SECONDS) * 1000 // LATENCY
            working = outbox.workers(processes=PROCESSES, threads=threads, queue="slack")
            whole = drained(bench, outbox, count, working)
            with outbox.connect() as connection:
                row = connection.execute(MIDDLE).fetchone()
            return _Rates(float(str(row[0])) if row else 0.0, whole)

        sides = {str(threads): partial(rates, threads) for threads in (THREADS[-1:] if bench.quick else THREADS)}
        found = bench.rounds("waiting", sides)
    for threads, figures in found.items():
        ideal = [PROCESSES * int(threads) * 1000 / LATENCY] * len(figures)
        name = f"provider of {LATENCY} ms, {PROCESSES} processes of {threads} threads"
        yield Result(name, "notifications/s", [each.middle for each in figures], "the ideal", ideal, goal=0.85)
        yield Result(
            f"{name}, beginning and end included",
            "notifications/s",
            [each.whole for each in figures],
            "the ideal",
            ideal,
        )
