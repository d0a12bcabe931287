"""The actors, and the broker that Dramatiq's own command finds here. It needs nothing of Django.

A module of its own process, which fills the queue: python -m tests.bench.peers.drf_dramatiq.actors COUNT
"""

from __future__ import annotations

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["REDIS_URL"])  # type: ignore[no-untyped-call]  # Dramatiq leaves it so
dramatiq.set_broker(broker)


@dramatiq.actor
def deliver(notification: int) -> None:
    """Nothing, so that only the queue is measured."""


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        deliver.send(number)
