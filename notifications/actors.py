"""The Dramatiq actors: one for each channel, on a queue of the channel's name, given a lane to drain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import dramatiq

from channels.registry import by_head, channel_of, channels
from notifications import nudge
from notifications.bulkhead import Bulkhead
from notifications.delivery import Delivery
from notifications.turns import Turns


class Actors:
    """The actors of one worker process, sharing its threads by channel."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._served: frozenset[str] = frozenset()
        self._bulkhead = Bulkhead(threads=1, channels=1)
        self._woken: set[threading.Thread] = set()
        self._waking = threading.Lock()
        self._turns = Turns(lambda lane: self.wake(lane, delivery.lease.news.set))

    def declare(self, broker: dramatiq.Broker) -> None:
        for name in channels():
            dramatiq.actor(actor_name=nudge.actor_name(name), queue_name=name, broker=broker)(self.dispatch)

    def share_out(self, *, threads: int, served: Collection[str]) -> None:
        """Say how many threads there are, and which channels they serve; before the first dispatch."""
        self._served = frozenset(served)
        # What nobody uses has no share: its threads would be idle, and missing elsewhere.
        used = [name for name in self._served if name in channels() and not channels()[name].unused]
        with_backups = {known.name for known in by_head().values() if known.backup}
        self._bulkhead = Bulkhead(threads=threads, channels=len(used), with_backups=with_backups)

    def dispatch(self, lane: str) -> None:
        """Drain a lane, if its channel has a thread left for it."""
        self._bulkhead.run(lane, lambda: self._drain(lane))

    def _drain(self, lane: str) -> bool:
        ended = self._delivery.drain(lane)
        if ended.again_in is not None:
            self.wake_in(lane, ended.again_in)
        return ended.emptied

    def wake_in(self, lane: str, seconds: float) -> None:
        """Wake it then, to the millisecond: until then it holds no thread."""
        self._turns.ask(lane, seconds)

    def wake(self, lane: str, drained: Callable[[], object]) -> None:
        """Dispatch in a thread of our own, with no broker between: the relay's way, which an outage does not close.

        It counts as one of the channel's threads. `drained`: called when it has done something and left nothing that is
        due.
        """
        with self._waking:
            self._woken = {thread for thread in self._woken if thread.is_alive()}
            if channel_of(lane) in self._served and self._bulkhead.has_room(lane):
                name = f"woken {lane}"
                thread = threading.Thread(target=self._woken_for, args=(lane, drained), name=name, daemon=True)
                self._woken.add(thread)
                thread.start()

    def _woken_for(self, lane: str, drained: Callable[[], object]) -> None:
        ends: list[bool] = []
        self._bulkhead.run(lane, lambda: ends.append(self._drain(lane)))
        if any(ends):
            drained()

    def join(self, seconds: float) -> None:
        """Wait for what was woken; what takes longer than that is taken back as any dead worker's."""
        with self._waking:
            woken = set(self._woken)
        for thread in woken:
            thread.join(seconds)
