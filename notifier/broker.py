"""Which Dramatiq broker carries the nudges: Postgres itself, Redis or RabbitMQ, by BROKER_URL.

The middleware list is given in full. Dramatiq's own default would add Retries and TimeLimit, and whether to try again
is decided in one place alone; a nudge that fails is simply gone, because the relay looks each second.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import dramatiq
from django.core.exceptions import ImproperlyConfigured
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from notifier.postgres_broker import PostgresBroker

REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
RABBITMQ_SCHEMES = frozenset({"amqp", "amqps"})


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
        broker = RabbitmqBroker(url=url, middleware=[])
    else:
        # The URL may hold a password: name the variable, show the scheme alone.
        raise ImproperlyConfigured(
            f"BROKER_URL must begin with redis://, rediss:// or amqp://, not {scheme or 'nothing'}://."
        )
    for queue in queues:
        broker.declare_queue(queue)
    return broker
