"""What clients saw of the service, in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.faults.clients import Call, CallLog


@dataclass(frozen=True, slots=True)
class Accepting:
    """Of requests, with all their tries: how long until each was accepted, and the longest time in which none was."""

    count: int
    median: float  # seconds
    p99: float
    longest: float
    gap: float
    tries: int  # the most that one took

    def __str__(self) -> str:
        return (
            f"{self.count} requests: median {milliseconds(self.median)}, p99 {milliseconds(self.p99)}, longest "
            f"{milliseconds(self.longest)}, {self.tries} tries at most, none accepted for {milliseconds(self.gap)}"
        )


def accepting(log: CallLog, *, since: float = 0.0, until: float = math.inf, at: str = "") -> Accepting:
    """Of those that began in this time of the log's clock; `at`: of which the first try was at this address."""
    tries: dict[str, list[Call]] = {}
    for call in log.calls:
        tries.setdefault(call.key, []).append(call)
    accepted = [calls for calls in tries.values() if calls[0].url.startswith(at) and calls[-1].status == 202]
    chosen = [calls for calls in accepted if since <= calls[0].at < until]
    took = sorted(_end(calls) - calls[0].at for calls in chosen)
    ends = sorted(map(_end, accepted))
    pairs = pairwise(ends)
    return Accepting(
        count=len(chosen),
        median=quantile(took, 0.5),
        p99=quantile(took, 0.99),
        longest=took[-1],
        gap=max((later - earlier for earlier, later in pairs if since <= later < until), default=0.0),
        tries=max(len(calls) for calls in chosen),
    )


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that so large a share is not above."""
    assert ascending, "nothing was accepted"
    return ascending[math.ceil(share * len(ascending)) - 1]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _end(calls: list[Call]) -> float:
    return calls[-1].at + calls[-1].seconds
