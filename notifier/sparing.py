"""What the brokers with a server of their own have in common."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from dramatiq.broker import Broker
from dramatiq.message import Message

# Nudges waiting in a queue wake whoever comes; more would say nothing new. Asked and not locked: between the question
# and the send some of other processes may slip in.
ENOUGH: Final = 5
FULL_FOR: Final = 1.0  # seconds for which a queue that was full is not asked again
# Seconds that a look at whether the server is there may take; nobody waits for it that long.
LOOK: Final = 2.0


class Sparing(Broker):
    """Drops the nudges for a queue that nobody empties: no worker is alive, or none serves it, or all are busy.

    Beats would tell of a death only seconds later, hundreds of nudges too late, and nothing of which queues the living
    serve. A worker that starts, or that has a thread to spare, looks for itself within a second.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._full_until: dict[str, float] = {}

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        queue = message.queue_name
        if monotonic() < self._full_until.get(queue, 0.0):
            return message
        if self.waiting(queue) >= ENOUGH:
            self._full_until[queue] = monotonic() + FULL_FOR
            return message
        return super().enqueue(message, delay=delay)

    def waiting(self, queue: str) -> int:
        """How many nudges of a queue no worker has fetched."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether its server does, by a connection of its own: those that carry nudges are some thread's at any time.

        May take a few times LOOK, and longer where a name does not resolve.
        """
        raise NotImplementedError
