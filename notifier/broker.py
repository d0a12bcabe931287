"""Which Dramatiq broker carries the nudges: Postgres itself, Redis or RabbitMQ, by BROKER_URL.

The middleware list is given in full. Dramatiq's own default would add Retries and TimeLimit, and whether to try again
is decided in one place alone; a nudge that fails is simply gone, because the relay looks each second.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import dramatiq
from django.core.exceptions import ImproperlyConfigured
from dramatiq.broker import Broker, Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker, _RabbitmqConsumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message
from pika import BlockingConnection
from pika.exceptions import AMQPError
from redis import Redis
from redis.exceptions import RedisError

from notifier.postgres_broker import PostgresBroker

REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
RABBITMQ_SCHEMES = frozenset({"amqp", "amqps"})

# Nudges waiting in a queue wake whoever comes; more would say nothing new. Asked and not locked: between the question
# and the send some of other processes may slip in.
ENOUGH: Final = 5
FULL_FOR: Final = 1.0  # seconds for which a queue that was full is not asked again
# Seconds that closing a connection to RabbitMQ may take. A half-open one would be waited for until its heartbeats fail,
# a minute or more, and there are two for each channel: past any grace period.
FAREWELL: Final = 1.0
# Seconds that a look at whether the server is there may take; nobody waits for it that long.
LOOK: Final = 2.0


class _Sparing(Broker):
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


class _Redis(_Sparing, RedisBroker):
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


class _Consumer(_RabbitmqConsumer):
    def close(self) -> None:
        _shortly(super().close)


class _Rabbitmq(_Sparing, RabbitmqBroker):
    """Takes a host name that does not resolve for what it is, a broker that is away: one line of log, no traceback.

    Closes without waiting for a broker that does not answer.
    """

    @property
    def consumer_class(self) -> type[_Consumer]:
        return _Consumer

    def waiting(self, queue: str) -> int:
        try:
            self.declare_queue(queue, ensure=True)
            return int(self.channel.queue_declare(queue=queue, passive=True).method.message_count)
        except AMQPError:
            # Idle connections are closed by their heartbeat, and a server that was emptied has forgotten the queue:
            # the send that follows opens and declares anew, or says why it cannot.
            del self.connection
            self.queues_pending.add(queue)
            return 0

    def answers(self) -> bool:
        servers = self.parameters if isinstance(self.parameters, list) else [self.parameters]
        hurried = [copy.copy(each) for each in servers]
        for each in hurried:
            each.socket_timeout = each.stack_timeout = each.blocked_connection_timeout = LOOK
        try:
            BlockingConnection(hurried).close()
        except (AMQPError, OSError):
            return False
        return True

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        try:
            return super().consume(queue_name, prefetch, timeout)
        except OSError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def close(self) -> None:
        _shortly(super().close)


def _shortly(close: Callable[[], None]) -> None:
    """Close a connection, or leave it to the end of the process."""

    def run() -> None:
        with suppress(ConnectionClosed):
            close()

    closing = threading.Thread(target=run, name="farewell", daemon=True)
    closing.start()
    closing.join(FAREWELL)


def build(url: str, queues: Iterable[str]) -> dramatiq.Broker:
    """Build the broker for BROKER_URL ("" for none) with these queues declared. Connects to nothing yet.

    Raises: ImproperlyConfigured for a URL of another kind.
    """
    scheme = urlsplit(url).scheme
    broker: dramatiq.Broker
    if not url:
        broker = PostgresBroker()
    elif scheme in REDIS_SCHEMES:
        broker = _Redis(url=url, middleware=[])
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
