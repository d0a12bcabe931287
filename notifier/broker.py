"""Which Dramatiq broker carries the nudges: Postgres itself, Redis or RabbitMQ, by BROKER_URL.

The middleware list is given in full. Dramatiq's own default would add Retries and TimeLimit, and whether to try again
is decided in one place alone; a nudge that fails is simply gone, because the relay looks each second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import dramatiq
from django.core.exceptions import ImproperlyConfigured
from dramatiq.brokers.redis import RedisBroker
from redis import Redis
from redis.exceptions import RedisError

from notifier import rabbitmq_nodes
from notifier.postgres_broker import PostgresBroker
from notifier.rabbitmq_broker import Rabbitmq
from notifier.sparing import LOOK, Sparing

REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})


class _Redis(Sparing, RedisBroker):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._url: str = options["url"]

    def waiting(self, queue: str) -> int:
        return int(self.client.llen(f"{self.namespace}:{queue}"))

    def answers(self) -> bool:
        try:
            with Redis.from_url(self._url, socket_timeout=LOOK, socket_connect_timeout=LOOK) as server:
                return bool(server.ping())
        except (RedisError, OSError):
            return False


def build(url: str, queues: Iterable[str], *, queue_type: str = "default") -> dramatiq.Broker:
    """Build the broker for BROKER_URL ("" for none) with these queues declared. Connects to nothing yet.

    `queue_type`: BROKER_QUEUE_TYPE.
    Raises: ImproperlyConfigured for a URL of another kind.
    """
    scheme = urlsplit(url).scheme
    if queue_type != "default" and scheme not in rabbitmq_nodes.SCHEMES:
        raise ImproperlyConfigured("BROKER_QUEUE_TYPE is for RabbitMQ alone: BROKER_URL must begin with amqp://.")
    broker: dramatiq.Broker
    if not url:
        broker = PostgresBroker()
    elif scheme in REDIS_SCHEMES:
        broker = _Redis(url=url, middleware=[])
    elif scheme in rabbitmq_nodes.SCHEMES:
        broker = Rabbitmq(urls=rabbitmq_nodes.split(url), queue_type=queue_type, middleware=[])
    else:
        # The URL may hold a password: name the variable, show the scheme alone.
        raise ImproperlyConfigured(
            f"BROKER_URL must begin with redis://, rediss:// or amqp://, not {scheme or 'nothing'}://."
        )
    for queue in queues:
        broker.declare_queue(queue)
    return broker
