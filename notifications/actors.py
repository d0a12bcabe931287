"""The Dramatiq actors: one for each channel, on a queue of the channel's name, given a lane to drain."""

from __future__ import annotations

import dramatiq

from channels.registry import channels
from notifications import nudge
from notifications.bulkhead import Bulkhead
from notifications.delivery import Delivery


class Actors:
    """The actors of one worker process, sharing its threads by channel."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._bulkhead = Bulkhead(threads=1, channels=1)

    def declare(self, broker: dramatiq.Broker) -> None:
        for name in channels():
            dramatiq.actor(actor_name=nudge.actor_name(name), queue_name=name, broker=broker)(self.dispatch)

    def share_out(self, *, threads: int, channels: int) -> None:
        """Say how many threads there are, and how many channels they serve; before the first dispatch."""
        self._bulkhead = Bulkhead(threads=threads, channels=channels)

    def dispatch(self, lane: str) -> None:
        """Drain a lane, if its channel has a thread left for it."""
        self._bulkhead.run(lane, lambda: self._delivery.drain(lane))
