"""How many threads of a worker a channel and a lane may hold, so that a slow one never takes those of another.

All test lanes together have a few beside the channels' shares: a flood of tests takes no thread of a live channel.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection

from channels.registry import MARK, channel_of, is_test


class Bulkhead:
    """The threads of one worker process, shared out evenly among the channels it serves."""

    def __init__(self, *, threads: int, channels: int, with_backups: Collection[str] = ()) -> None:
        """`with_backups`: channels that have several backends, each with lanes of its own."""
        self._with_backups = frozenset(with_backups)
        self.per_channel = max(1, threads // max(1, channels))
        # A channel with several lanes keeps some threads for the others, however slow one of them is.
        self.per_destination = max(1, self.per_channel // 2)
        self.for_tests = max(1, self.per_channel // 4)
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._again: set[str] = set()

    def has_room(self, lane: str) -> bool:
        """Whether `run` would run now."""
        with self._lock:
            return self._room(lane)

    def run(self, lane: str, work: Callable[[], object]) -> bool:
        """Run `work`, unless the lane has its full number of threads; then one of those will run it again.

        So a nudge that finds no room is not lost: whoever holds the room looks once more before leaving it.
        """
        with self._lock:
            if not self._room(lane):
                self._again.add(lane)
                return False
            self._running.update(self._keys(lane))
        while True:
            with self._lock:
                self._again.discard(lane)
            try:
                work()
            except BaseException:
                with self._lock:
                    self._running.subtract(self._keys(lane))
                raise
            with self._lock:
                if lane not in self._again:
                    self._running.subtract(self._keys(lane))
                    return True

    def _room(self, lane: str) -> bool:
        if is_test(lane):
            return self._running[MARK] < self.for_tests
        channel = channel_of(lane)
        if self._running[channel] >= self.per_channel:
            return False
        alone = channel == lane and channel not in self._with_backups
        return alone or self._running[lane] < self.per_destination

    @staticmethod
    def _keys(lane: str) -> set[str]:
        return {lane, MARK if is_test(lane) else channel_of(lane)}
