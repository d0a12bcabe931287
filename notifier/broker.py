"""Which Dramatiq broker carries the nudges: Postgres itself, Redis or RabbitMQ, by BROKER_URL.

The middleware list is given in full. Dramatiq's own default would add Retries and TimeLimit, and whether to try again
is decided in one place alone; a nudge that fails is simply gone, because the relay looks each second.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import dramatiq
from django.core.exceptions import ImproperlyConfigured
from dramatiq.broker import Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed

from notifier.postgres_broker import PostgresBroker

REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
RABBITMQ_SCHEMES = frozenset({"amqp", "amqps"})


class _Rabbitmq(RabbitmqBroker):
    """Takes a host name that does not resolve for what it is, a broker that is away: one line of log, no traceback."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        try:
            return super().consume(queue_name, prefetch, timeout)
        except OSError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]


def build(url: str, queues: Iterable[str]) -> dramatiq.Broker:
    """Build the broker for BROKER_URL ("" for none) with these queues declared. Connects to nothing yet.

    Raises: ImproperlyConfigured for a URL of another kind.
    """
    scheme = urlsplit(url).scheme
    broker: dramatiq.Broker
    if not url:
        broker = PostgresBroker()
    elif scheme in REDIS_SCHEMES:
        broker = RedisBroker(url=url, middleware=[])  # type: ignore[no-untyped-call]
    elif scheme in RABBITMQ_SCHEMES:
        broker = _Rabbitmq(url=url, middleware=[])
    else:
        # The URL may hold a password: name the variable, show the scheme alone.
        raise ImproperlyConfigured(
            f"BROKER_URL must begin with redis://, rediss:// or amqp://, not {scheme or 'nothing'}://."
        )
    for queue in queues:
        broker.declare_queue(queue)
    return broker
