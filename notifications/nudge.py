"""Wake a worker: a broker message that carries a lane's name and nothing else.

Requests only note the lane; a thread of each process sends, so that a slow or absent broker never delays an answer.
A nudge that is lost, doubled or late is harmless: every worker's relay looks for due notifications each second.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from heapq import heappop, heappush
from time import monotonic, sleep
from typing import Final

import dramatiq
import structlog

from channels.registry import channel_of
from notifications import metrics

ACTOR: Final = "dispatch"
# The first nudge leaves at once, those right behind it leave together. While they keep coming the pauses grow: each
# wakes every worker process for a claim, and they are awake then.
DEBOUNCE: Final = 0.005  # seconds, doubled up to the next
DEBOUNCE_LONGEST: Final = 0.02
SEEN_BY_RELAYS: Final = 2.0  # seconds: each looks once a second
CLOCKS_APART: Final = 0.01  # seconds: what is due is for the database's clock to say, which may be behind ours
COMPLAIN_EVERY: Final = 10.0  # seconds between log lines about a broker that is away

log = structlog.get_logger(__name__)


def actor_name(channel: str) -> str:
    """One actor, and one queue of the channel's name, for each channel."""
    return f"{ACTOR}_{channel}"


def message(lane: str) -> dramatiq.Message[None]:
    channel = channel_of(lane)
    return dramatiq.Message(queue_name=channel, actor_name=actor_name(channel), args=(lane,), kwargs={}, options={})


class Nudger:
    """Sends the nudges of one process, coalesced by lane."""

    def __init__(self) -> None:
        self._lanes: set[str] = set()
        self._later: list[tuple[float, str]] = []  # a heap: when, by our monotonic clock, and which lane
        self._wanted = threading.Condition()
        self._owner = 0  # process id of the thread: a forked child has none yet
        self._complained = -COMPLAIN_EVERY

    def request(self, lane: str, *, delay: float = 0.0) -> None:
        """Send a nudge soon, or after so many seconds; returns at once, raises nothing."""
        with self._wanted:
            if delay > 0:
                heappush(self._later, (monotonic() + delay, lane))
            else:
                self._lanes.add(lane)
            if self._owner != os.getpid():
                self._owner = os.getpid()
                threading.Thread(target=self._run, name="nudger", daemon=True).start()
            self._wanted.notify()

    def _run(self) -> None:
        pause = DEBOUNCE
        while True:
            pause = min(DEBOUNCE_LONGEST, 2 * pause)
            with self._wanted:
                while not self._lanes and not self._ripe():
                    self._wanted.wait(self._later[0][0] - monotonic() if self._later else None)
                    pause = DEBOUNCE
                lanes, self._lanes = self._lanes, set()
            for lane in sorted(lanes):
                self._send(lane)
            sleep(pause)

    def _ripe(self) -> bool:
        """Whether the time of any has come; those are to be sent."""
        while self._later and self._later[0][0] <= monotonic():
            self._lanes.add(heappop(self._later)[1])
        return bool(self._lanes)

    def _send(self, lane: str) -> None:
        try:
            dramatiq.get_broker().enqueue(message(lane))
            metrics.nudges("sent").inc()
        except Exception as error:  # noqa: BLE001 - whatever a broker raises, the relay's poll stands in for the nudge
            metrics.nudges("failed").inc()
            if monotonic() - self._complained >= COMPLAIN_EVERY:
                self._complained = monotonic()
                log.warning("nudge.failed", lane=lane, error=type(error).__name__)


_nudger = Nudger()


def request(lane: str, *, at: datetime | None = None) -> None:
    """Ask for a worker for this lane, now or `at` a time (aware); call it after the commit.

    What lies farther ahead than the relays' next look is theirs: they know it by then, and wake in time.
    """
    if at is None:
        _nudger.request(lane)
        return
    ahead = (at - datetime.now(UTC)).total_seconds()
    if ahead < SEEN_BY_RELAYS:
        _nudger.request(lane, delay=ahead + CLOCKS_APART if ahead > 0 else 0.0)
