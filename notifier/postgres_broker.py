"""A Dramatiq broker that only wakes: LISTEN/NOTIFY carries lanes' names into this process's own queues.

Nothing is stored: what is notified while nobody listens is gone, and the relay's look each second stands in for
it. Through a pooler in transaction mode nobody can listen: that takes LISTEN_DATABASE_URL.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import dramatiq
import psycopg
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.errors import ActorNotFound, ConnectionClosed, QueueNotFound
from dramatiq.message import Message
from dramatiq.middleware import Middleware

from notifications import nudge
from notifications.outbox.statement import Row, direct_connection, keeps_session

NOTIFY_CHANNEL: Final = "notifier_nudge"
# A nudge is no promise: its commit waits for no disk. The rows that it tells of were committed before.
NOTIFY: Final = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
RECONNECT_EVERY: Final = 0.5  # seconds
LISTEN_FOR: Final = 1.0  # seconds between looks at whether to stop
# LISTEN_DATABASE_URL must lead to the database that DATABASE_URL leads to: a word that is sent by the one is to be
# heard by the other. Asked again now and then, because the pooler may have been turned to another server in between.
CHECK_EVERY: Final = 60.0  # seconds
CHECK_WAIT: Final = 3.0  # seconds for a word that takes a millisecond
ELSEWHERE_FOR: Final = 30.0  # seconds: in a failover the two may differ for a moment

POLLING: Final = "Until then nobody is woken: the workers look each second."
POOLED: Final = (
    f"DATABASE_URL leads through a pooler, which carries no LISTEN: set LISTEN_DATABASE_URL, or BROKER_URL. {POLLING}"
)
POOLED_TOO: Final = (
    f"LISTEN_DATABASE_URL leads through a pooler, which carries no LISTEN: name the server itself. {POLLING}"
)
ELSEWHERE: Final = f"LISTEN_DATABASE_URL leads to another database than DATABASE_URL. {POLLING}"

log = structlog.get_logger(__name__)


class _Elsewhere(Exception):
    """Raised when a connection that listens does not hear what the other way sends."""


class PostgresBroker(Broker):
    """Sends by NOTIFY on a connection of its own, outside any transaction of a request: NOTIFY locks at commit."""

    def __init__(self) -> None:
        super().__init__(middleware=[_Coalesce(self)])
        self.queues: dict[str, SimpleQueue[str]] = {}
        self._waiting: set[str] = set()  # lanes queued here and not yet begun: one is enough
        self._lock = threading.Lock()
        self._sender: psycopg.Connection[Row] | None = None
        self._sender_owner = 0  # process id: a forked child must not write on its parent's connection
        self._listener: threading.Thread | None = None
        self._deaf = False  # this process wants to listen, and cannot
        self._closed = threading.Event()

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = SimpleQueue()
            self.emit_after("declare_queue", queue_name)

    def declare_actor(self, actor: dramatiq.Actor[Any, Any]) -> None:
        self.emit_before("declare_actor", actor)
        self.declare_queue(actor.queue_name)
        self.actors[actor.actor_name] = actor
        self.emit_after("declare_actor", actor)

    def get_actor(self, actor_name: str) -> dramatiq.Actor[Any, Any]:
        try:
            return self.actors[actor_name]
        except KeyError:
            raise ActorNotFound(actor_name) from None  # type: ignore[no-untyped-call]

    def get_declared_actors(self) -> set[str]:
        return set(self.actors)

    def get_declared_queues(self) -> set[str]:
        return set(self.queues)

    def get_declared_delay_queues(self) -> set[str]:
        return set()  # due times live in the table

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Notify every listening worker of the message's lane.

        Raises: ValueError for a delay, QueueNotFound, ConnectionClosed when the database cannot be reached.
        """
        if delay is not None:
            raise ValueError("a nudge cannot be delayed: due times live in the notification table")
        if message.queue_name not in self.queues:
            raise QueueNotFound(message.queue_name)  # type: ignore[no-untyped-call]
        self.emit_before("enqueue", message, delay)
        if self._deaf:
            self._received(str(message.args[0]))  # its own, at least: by these a full lane recruits its threads
        self._notify(str(message.args[0]))
        self.emit_after("enqueue", message, delay)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> Consumer:
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        with self._lock:
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="nudge-listener", daemon=True)
                self._listener.start()
        return _LaneConsumer(self.queues[queue_name], timeout / 1000)

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._hang_up()

    def begun(self, lane: str) -> None:
        """A worker thread has taken the nudge: the next one for this lane is to be queued again."""
        with self._lock:
            self._waiting.discard(lane)

    def _notify(self, lane: str) -> None:
        with self._lock:
            try:
                if self._sender is None or self._sender_owner != os.getpid():
                    self._sender, self._sender_owner = direct_connection("notifier nudge"), os.getpid()
                self._sender.execute(NOTIFY, (NOTIFY_CHANNEL, lane), prepare=True)
            except (psycopg.Error, DatabaseError) as error:
                self._hang_up()
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def _hang_up(self) -> None:
        if self._sender is not None and self._sender_owner == os.getpid():
            self._sender.close()
        self._sender = None

    def _listen(self) -> None:
        own_way = bool(getattr(settings, "LISTEN_DATABASE", None))
        while not self._closed.is_set():
            try:
                with direct_connection("notifier listen", past_pooler=True) as connection:
                    if not keeps_session(connection):
                        self._deaf = True
                        log.warning("listen.pooled", reason=POOLED_TOO if own_way else POOLED)
                        return  # nothing to wait for: it would hear nothing for ever
                    connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                    self._hear(connection, checked=own_way)
            except _Elsewhere:
                self._closed.wait(ELSEWHERE_FOR)
            except (psycopg.Error, DatabaseError) as error:
                if not self._deaf:  # once, and not twice a second for as long as it lasts
                    log.warning("listen.failed", error=type(error).__name__)
                self._deaf = True
                self._closed.wait(RECONNECT_EVERY)

    def _hear(self, connection: psycopg.Connection[Row], *, checked: bool) -> None:
        """Until this broker is closed. `checked`: see CHECK_EVERY. Raises: _Elsewhere, psycopg's errors."""
        check_at = monotonic()
        if self._deaf:
            log.info("listen.restored")
        self._deaf = False
        while not self._closed.is_set():
            if checked and monotonic() >= check_at:
                self._check(connection)
                check_at = monotonic() + CHECK_EVERY
            for notice in connection.notifies(timeout=LISTEN_FOR):
                self._received(notice.payload)

    def _check(self, connection: psycopg.Connection[Row]) -> None:
        word = uuid4().hex  # of no lane: whoever else hears it has no queue for it
        try:
            self._notify(word)
        except ConnectionClosed:
            return  # nobody is sent anything at this moment
        for notice in connection.notifies(timeout=CHECK_WAIT):
            if notice.payload == word:
                return
            self._received(notice.payload)
        self._deaf = True
        log.error("listen.elsewhere", reason=ELSEWHERE)
        raise _Elsewhere

    def _received(self, lane: str) -> None:
        queue = self.queues.get(nudge.message(lane).queue_name)
        with self._lock:
            if queue is None or lane in self._waiting:
                return
            self._waiting.add(lane)
        queue.put(lane)


class _Coalesce(Middleware):
    """Counts a nudge down when its actor begins, not when it ends: one that runs may be past its last claim."""

    def __init__(self, broker: PostgresBroker) -> None:
        self._broker = broker

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        self._broker.begun(str(message.args[0]))


class _LaneConsumer(Consumer):
    """Hands Dramatiq's consumer thread the lanes of one queue; there is nothing to acknowledge."""

    def __init__(self, lanes: SimpleQueue[str], timeout: float) -> None:
        self._lanes = lanes
        self._timeout = timeout  # seconds

    def ack(self, message: MessageProxy) -> None:
        pass

    def nack(self, message: MessageProxy) -> None:
        pass

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        pass

    def __next__(self) -> MessageProxy | None:
        try:
            return MessageProxy(nudge.message(self._lanes.get(timeout=self._timeout)))
        except Empty:
            return None
