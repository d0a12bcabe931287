"""Nudges by RabbitMQ: sent with confirms, within a bounded time, to whichever node answers.

Dramatiq declares classic queues, three for each of its own. We want one, since nothing is delayed and what fails is
gone, and of the type that is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final

import structlog
from dramatiq.broker import Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker, _RabbitmqConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.logging import get_logger
from dramatiq.message import Message
from pika import BasicProperties
from pika.exceptions import AMQPChannelError, AMQPConnectionError, AMQPError, ChannelClosedByBroker, UnroutableError

from notifier.rabbitmq_nodes import PATIENCE, Connection, Nodes
from notifier.sparing import Sparing

# Seconds that one nudge may wait in all: for one node that does not answer, and for a second one.
LONGEST: Final = 2 * PATIENCE
# Seconds that closing a connection may take. A half-open one would be waited for until its heartbeats fail, a minute or
# more, and there is one for each channel: past any grace period.
FAREWELL: Final = 1.0
# Seconds without a sign of life, after which a connection counts as dead; Pika looks every so many and five more, so
# that a worker leaves a node that stands still after twenty at most. Less is not safe, says RabbitMQ's guide, and its
# own minute is long.
HEARTBEAT: Final = 5
TRIES: Final = 6  # of one nudge, as a connection may have been closed while it was idle; LONGEST ends them sooner
UNWRITTEN: Final = BasicProperties(delivery_mode=1)
PRECONDITION_FAILED: Final = 406  # AMQP's code where a queue is declared otherwise than it is
COMPLAIN_EVERY: Final = 300.0  # seconds between log lines about a queue that is of another type than was asked for

log = structlog.get_logger(__name__)


class _Consumer(_RabbitmqConsumer):
    """Dramatiq's, on a connection of ours."""

    def __init__(self, broker: Rabbitmq, queue_name: str, prefetch: int, timeout: int) -> None:
        self.broker = broker
        self.queue_name = queue_name
        self.logger = get_logger(__name__, type(self))  # type: ignore[no-untyped-call]
        self.known_tags: set[int] = set()
        try:
            self.connection = broker.nodes.connect(heartbeat=HEARTBEAT)
            self.connection.deadline = monotonic() + PATIENCE
            self.channel = self.connection.channel()
            self.channel.basic_qos(prefetch_count=prefetch)
            self.connection.deadline = None
            self.iterator = self.channel.consume(queue_name, inactivity_timeout=timeout / 1000)
        except AMQPError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def close(self) -> None:
        _shortly(super().close)


class _Publisher(RabbitmqBroker):
    """Dramatiq's, whose messages are for no disk: their confirms would wait for it, and everybody else's flushes, too.

    What a restart of the server loses of them a look of the relays finds within a second. (A quorum queue writes all
    that it takes, whatever is asked.)
    """

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        if delay is not None:
            raise ValueError("a nudge cannot be delayed: due times live in the notification table")
        queue = message.queue_name
        failure: Exception | None = None
        for _ in range(TRIES):
            try:
                self.declare_queue(queue, ensure=True)
                self.emit_before("enqueue", message, delay)
                self.channel.basic_publish(
                    exchange="", routing_key=queue, body=message.encode(), properties=UNWRITTEN, mandatory=True
                )
                self.emit_after("enqueue", message, delay)
            except (AMQPConnectionError, AMQPChannelError) as error:
                del self.connection
                if isinstance(error, UnroutableError):
                    self.queues_pending.add(queue)  # a server that was emptied has forgotten it
                failure = error
            else:
                return message
        raise ConnectionClosed(failure) from None  # type: ignore[no-untyped-call]  # Dramatiq's errors


class Rabbitmq(Sparing, _Publisher):
    def __init__(self, *, urls: Sequence[str], queue_type: str, **options: Any) -> None:
        super().__init__(url=list(urls), confirm_delivery=True, **options)
        self.nodes = Nodes(urls)
        self._queue_type = queue_type
        self._away_until = 0.0
        self._complain_from: dict[str, float] = {}

    @property
    def consumer_class(self) -> type[_Consumer]:
        return _Consumer

    # --- waiting -------------------------------------------------------------------------------------------

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send it, within LONGEST.

        Raises: ConnectionClosed where no node has confirmed it.
        """
        began = monotonic()
        if began < self._away_until:
            raise ConnectionClosed("no node has answered lately")  # type: ignore[no-untyped-call]
        try:
            with self._in_time():
                return super().enqueue(message, delay=delay)
        except ConnectionClosed:
            # For as long as that took the next ones are not tried: one thread has many lanes, which would wait one
            # after another. A broker that refuses at once is used as soon as it is back.
            self._away_until = 2 * monotonic() - began
            raise

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        with self._in_time():
            try:
                return super().consume(queue_name, prefetch, timeout)
            finally:
                del self.connection  # by which the queue was declared: this thread sends nothing

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Within it whatever this thread waits for ends: soon for one node, after LONGEST for all."""
        self.state.until = monotonic() + LONGEST
        self._set_deadline(monotonic() + PATIENCE)
        try:
            yield
        finally:
            self.state.until = None
            self._set_deadline(None)

    def _set_deadline(self, deadline: float | None) -> None:
        connection: Connection | None = getattr(self.state, "connection", None)
        if connection is not None:
            connection.deadline = deadline

    @property
    def connection(self) -> Connection:
        """This thread's."""
        found: Connection | None = getattr(self.state, "connection", None)
        if found is None:
            until: float | None = getattr(self.state, "until", None)
            found = self.state.connection = self.nodes.connect(until=until)
            self.connections.add(found)
            found.deadline = until and min(until, monotonic() + PATIENCE)
        return found

    @connection.deleter
    def connection(self) -> None:
        RabbitmqBroker.connection.fdel(self)  # type: ignore[attr-defined]

    # --- queues --------------------------------------------------------------------------------------------

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:
        """As Dramatiq's own, but for its delay queue, which would be consumed."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.queues_pending.add(queue_name)
            self.emit_after("declare_queue", queue_name)
        if ensure:
            self._ensure_queue(queue_name)  # type: ignore[no-untyped-call]

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        # Those of Dramatiq stay, although nothing is there where they point to: older workers declare the same queue.
        arguments: dict[str, Any] = super()._build_queue_arguments(queue_name)  # type: ignore[no-untyped-call]
        return arguments if self._queue_type == "default" else {**arguments, "x-queue-type": self._queue_type}

    def _declare_queue(self, queue_name: str) -> Any:
        try:
            return super()._declare_queue(queue_name)  # type: ignore[no-untyped-call]
        except ChannelClosedByBroker as error:
            if error.reply_code != PRECONDITION_FAILED:
                raise
            # It is there, and other than we would make it. A nudge may go by any queue: it is used as it is.
            del self.channel
            found = self.channel.queue_declare(queue=queue_name, passive=True)
            if self._queue_type != "default":
                self._complain(queue_name, error.reply_text)
            return found

    def _declare_dq_queue(self, queue_name: str) -> None:
        pass

    def _declare_xq_queue(self, queue_name: str) -> None:
        pass

    def _complain(self, queue: str, reason: str) -> None:
        if monotonic() >= self._complain_from.get(queue, 0.0):
            self._complain_from[queue] = monotonic() + COMPLAIN_EVERY
            log.error(
                "broker.queue_of_another_type",
                queue=queue,
                wanted=self._queue_type,
                reason=reason,
                mend=f"rabbitmqctl delete_queue {queue}: it holds nothing that matters; or unset BROKER_QUEUE_TYPE",
            )

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

    # --- the server ----------------------------------------------------------------------------------------

    def answers(self) -> bool:
        try:
            connection = self.nodes.connect()
        except AMQPError:
            return False
        _shortly(connection.close)
        return True

    def close(self) -> None:
        _shortly(super().close)


def _shortly(close: Callable[[], None]) -> None:
    """Close a connection, or leave it to the end of the process."""

    def run() -> None:
        with suppress(ConnectionClosed, AMQPError):
            close()

    closing = threading.Thread(target=run, name="farewell", daemon=True)
    closing.start()
    closing.join(FAREWELL)
