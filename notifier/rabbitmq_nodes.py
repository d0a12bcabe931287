"""Connections to RabbitMQ, one server or a cluster of which any node may die, freeze or be cut off: every wait ends.

Pika waits for a node that stands still until heartbeats fail, for a confirm without limit, and for a name that does
not resolve as long as the system does.
"""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from django.core.exceptions import ImproperlyConfigured
from pika import BlockingConnection, URLParameters
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPConnectionError, AMQPError

Parameters = Any  # Pika's, which has no types

SCHEMES: Final = frozenset({"amqp", "amqps"})

# Seconds that one node has for all that a nudge needs of it: a few milliseconds, where it lives. Then it is another's.
PATIENCE: Final = 1.0
SHUNNED_FOR: Final = 10.0  # seconds for which a node that did not answer is asked after all others

log = structlog.get_logger(__name__)


class GivenUp(AMQPConnectionError):  # type: ignore[misc]
    """Raised when a node has not answered in time; the connection to it is no longer one."""


class Connection(BlockingConnection):  # type: ignore[misc]
    """One whose user may say how long it waits at most: by `deadline`, of the monotonic clock."""

    def __init__(self, node: Node, parameters: Parameters) -> None:
        self.node = node
        self.deadline: float | None = None  # None: for as long as there are heartbeats
        super().__init__(parameters)

    def _flush_output(self, *waiters: Callable[[], bool]) -> None:
        # Whatever Pika waits for, it waits here. Timers of its public face fire only once the wait is over.
        if self.deadline is None:
            super()._flush_output(*waiters)
            return
        timer = self._impl._adapter_call_later(  # noqa: SLF001
            max(0.0, self.deadline - monotonic()), self._give_up
        )
        try:
            super()._flush_output(*waiters)
        finally:
            if self.is_open:
                self._impl._adapter_remove_timeout(timer)  # noqa: SLF001

    def _give_up(self) -> None:
        self.node.shun()
        self._impl._terminate_stream(GivenUp(f"{self.node} has not answered in time"))  # noqa: SLF001


class Node:
    """One server, and when it last failed us."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self.shunned_until = 0.0  # by the monotonic clock

    def __str__(self) -> str:
        """Without its password."""
        return f"{self._parameters.host}:{self._parameters.port}"

    def shun(self) -> None:
        now = monotonic()
        if now >= self.shunned_until:
            log.warning("broker.node_away", node=str(self))
        self.shunned_until = now + SHUNNED_FOR

    def connect(self, seconds: float, *, heartbeat: int | None = None) -> Connection:
        """A connection within so many seconds.

        Raises: AMQPConnectionError, whatever the reason.
        """
        hurried = copy.copy(self._parameters)
        hurried.socket_timeout = hurried.stack_timeout = seconds
        if heartbeat is not None and hurried.heartbeat is None:
            hurried.heartbeat = heartbeat
        attempt = _Attempt(self, hurried)
        attempt.start()
        attempt.done.wait(seconds)
        return attempt.outcome()


class _Attempt(threading.Thread):
    """Connects in a thread of its own, which can be left alone: nothing ends the look-up of a name."""

    def __init__(self, node: Node, parameters: Parameters) -> None:
        super().__init__(name="broker-connect", daemon=True)
        self.done = threading.Event()
        self._node, self._parameters = node, parameters
        self._lock = threading.Lock()
        self._left = False
        self._connection: Connection | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            connection = Connection(self._node, self._parameters)
        except (AMQPError, AMQPConnectorException, OSError) as error:
            self._error = error
        else:
            with self._lock:
                self._connection = connection
                left = self._left
            if left:
                with suppress(AMQPError):
                    connection.close()
        self.done.set()

    def outcome(self) -> Connection:
        with self._lock:
            self._left = self._connection is None
            if self._connection is not None:
                return self._connection
        if isinstance(self._error, AMQPConnectionError):
            raise self._error
        raise AMQPConnectionError(self._error or f"{self._node} has not answered in time") from None


class Nodes:
    """All servers of BROKER_URL. Connections are spread over them; those that failed us lately come last."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._nodes = [Node(URLParameters(url)) for url in urls]

    def connect(self, *, until: float | None = None, heartbeat: int | None = None) -> Connection:
        """A connection to any; `until`: of the monotonic clock, when to end the search.

        Raises: AMQPConnectionError where none answers.
        """
        found: AMQPConnectionError | None = None
        for node in self.in_turn():
            seconds = PATIENCE if until is None else min(PATIENCE, until - monotonic())
            if seconds <= 0:
                break
            try:
                return node.connect(seconds, heartbeat=heartbeat)
            except AMQPConnectionError as error:
                node.shun()
                found = error
        raise found or GivenUp("no node has answered in time")

    def in_turn(self) -> list[Node]:
        """Whom to ask first, and whom next."""
        now = monotonic()
        nodes = random.sample(self._nodes, len(self._nodes))
        return sorted(nodes, key=lambda node: max(node.shunned_until, now))


def split(url: str) -> list[str]:
    """The addresses of BROKER_URL that are separated by semicolons, checked.

    Raises: ImproperlyConfigured, which shows nothing of them: they may hold passwords.
    """
    urls = [each.strip() for each in url.split(";")]
    for number, each in enumerate(urls, 1):
        if not _is_address(each):
            which = f"address {number} of BROKER_URL" if len(urls) > 1 else "BROKER_URL"
            raise ImproperlyConfigured(
                f"{which} must be amqp://user:password@host:5672/virtual-host; several nodes of one cluster are"
                " separated by semicolons."
            )
    if len({URLParameters(each).virtual_host for each in urls}) > 1:
        raise ImproperlyConfigured("The addresses of BROKER_URL must be of one cluster, and name one virtual host.")
    return urls


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if parts.scheme in SCHEMES and parts.hostname and parts.port != 0:
            URLParameters(url)
            return True
    except Exception:  # noqa: BLE001 - Pika raises many kinds, for a port as for an option
        return False
    return False
