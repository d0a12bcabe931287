"""How fast a lane's sends are, and what follows: how many to claim at a time, and by how many threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Final

from notifications.states import Priority

# A send this slow costs far more than a statement: record before the next, so that a crash doubts that one alone.
SLOW_SEND: Final = 0.005  # seconds
LARGEST_BATCH: Final = 500  # claimed and recorded in one statement; larger ones are no faster
# From one full batch of a quick lane to the next: after two it is the largest, and small ones cost twice as much each.
GROWTH: Final = 5
# Of a lane whose sends are quicker than a statement: while one thread waits for the database the other has the
# processor. More would only take it from each other.
QUICK_THREADS: Final = 2
# Of ten claims of a lane eight take what is high first, one what is normal and one what is low: under a flood of what
# is high the others get a tenth each, and where nothing is high they lose nothing.
TURNS: Final = (*[Priority.HIGH] * 4, Priority.NORMAL, *[Priority.HIGH] * 4, Priority.LOW)
WEIGHT: Final = 0.1  # of the last send in the average: one that was held up makes no lane slow


class Pace:
    """One lane's, in one process; shared by its threads."""

    def __init__(self) -> None:
        self.claiming = threading.Lock()
        self._batch = 0  # the channel's own number counts where this is less
        self._turns = cycle(TURNS)
        self._average: float | None = None  # seconds
        self._threads: list[int] = []  # at work here, in the order in which they came

    @property
    def quick(self) -> bool:
        """Whether sends take less than a statement; not before one has shown it."""
        return self._average is not None and self._average < SLOW_SEND

    @property
    def staffed(self) -> bool:
        """Whether another thread of this process would be of no use."""
        return self.quick and len(self._threads) >= QUICK_THREADS

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around a thread's work on the lane."""
        me = threading.get_ident()
        self._threads.append(me)
        try:
            yield
        finally:
            self._threads.remove(me)

    @property
    def superfluous(self) -> bool:
        """Whether this thread is of no use. Those that came first are not: however many ask at once, two are left."""
        return self.quick and threading.get_ident() not in self._threads[:QUICK_THREADS]

    def turn(self) -> Priority:
        """Which priority the next claim takes first; while `claiming` is held."""
        return next(self._turns)

    def sent(self, took: float) -> None:
        average = self._average
        self._average = took if average is None else average + WEIGHT * (took - average)

    def within(self, seconds: float) -> int:
        """How many sends one thread makes in so long, as far as is known; at least one."""
        return 1 if self._average is None else max(1, int(seconds / max(self._average, 1e-6)))

    def next_batch(self, own: int, *, one_by_one: bool, in_full_flow: bool) -> int:
        """How many to claim now; `own`: the channel's number, `one_by_one`: whether each send is marked by itself.

        Threads that begin on a slow lane together would end together, and nobody's claim come in between for as long
        as a batch takes. So each begins with another part of one.
        """
        if not one_by_one:
            return max(own, self._batch)
        return own if in_full_flow else random.randint(1, own)

    def claimed(self, batch: int, *, full: bool) -> None:
        """More next time where the lane is deep and quick.

        Where sends are slow nothing is gained by having more in hand, and a crash doubts no more than need be.
        """
        self._batch = min(LARGEST_BATCH, GROWTH * batch) if full and self.quick else 0
