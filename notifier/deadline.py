"""Connections whose server must answer in time, for threads that a client waits for.

A server that stands still while its connections stand (its machine is paused, packets vanish on the way) refuses
nothing, and keeps none of its own limits. Every thread would wait for as long, and then not even a probe is answered.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic
from typing import Any, Final, TypeVar, cast

import psycopg
import structlog
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout, OperationalError, _WaitTimeout
from urllib3.util import wait_for_read

# Longer than what the server limits itself (a wait for a lock 3 s, a search in the admin 5 s): its errors say why.
ANSWER_WAIT: Final = timedelta(seconds=6)
CANCEL_WAIT: Final = timedelta(seconds=1)  # for a server that is there, but slow, to say that it has stopped
CANCEL_PATIENCE: Final = timedelta(seconds=30)  # of nobody that somebody waits for
FIRST_ANSWER: Final = timedelta(seconds=3)  # as long as it may take to connect
ASK_EVERY: Final = timedelta(seconds=1)  # while it is silent

SILENT: Final = "the database was silent a moment ago"

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class Silence:
    """Of a server that did not answer in time: while it lasts one thread at a time connects, others fail at once."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._asked = 0.0
        self._asking = threading.Lock()

    @property
    def lasts(self) -> bool:
        """Whether it was noticed, and nobody has had an answer since."""
        return self._since is not None

    def noticed(self) -> None:
        self._asked = monotonic()
        if self._since is None:
            self._since = self._asked
            log.error("database.silent")

    @contextmanager
    def asking(self) -> Iterator[bool]:
        """Connect within the block, and where it gives True have the server answer something. Raises: OperationalError
        where it is not this thread's turn."""
        alone = self._since is not None
        if alone and (self._too_soon() or not self._asking.acquire(blocking=False)):
            raise OperationalError(SILENT)
        try:
            yield alone
        except ConnectionTimeout:
            self.noticed()
            raise
        except OperationalError:
            self._ended()  # a refusal is an answer
            raise
        else:
            self._ended()
        finally:
            if alone:
                self._asking.release()

    def _too_soon(self) -> bool:
        return monotonic() - self._asked < ASK_EVERY.total_seconds()

    def _ended(self) -> None:
        since, self._since = self._since, None
        if since is not None:
            log.info("database.answers", silent_seconds=round(monotonic() - since, 1))


_silence = Silence()


class Connection(psycopg.Connection[Any]):
    """Closed when an answer has not come within ANSWER_WAIT, after the server was asked to cancel what it was at.

    What was sent may still be done: an outcome is as unknown as it is when a connection breaks.
    """

    _first = False  # it is asked whether anybody is there

    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Connection:
        with _silence.asking() as alone:
            made = super().connect(*arguments, **options)
            if alone:
                made._await_first_answer()  # noqa: SLF001 - our own
            return made

    def _await_first_answer(self) -> None:
        """A pooler takes connections, whatever becomes of the server behind it. Raises: ConnectionTimeout."""
        self._first = True
        try:
            self.execute("SELECT 1")
            self.rollback()  # the transaction that it began, where it is not its own
        except _WaitTimeout:
            self.close()
            raise ConnectionTimeout("the database is still silent") from None
        finally:
            self._first = False

    def wait(self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        if timeout is None and self._first:
            timeout = FIRST_ANSWER.total_seconds()
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        if _silence.lasts:
            # One from before it: each thread that has such a one would wait its own time, behind the clients' backs.
            self.close()
            raise OperationalError(SILENT)
        try:
            return super().wait(gen, interval, ANSWER_WAIT.total_seconds())
        except _WaitTimeout:
            try:
                if not self._stopped():
                    _silence.noticed()
            finally:
                self.close()
            raise OperationalError(f"the database did not answer within {ANSWER_WAIT.total_seconds():.0f} s") from None

    def _stopped(self) -> bool:
        """Ask the server to cancel what it is at; whether it said so, or hung up.

        That the wish was taken says nothing: a pooler takes it in any case, and lets wait who waits for a session. Nor
        is it withdrawn when we wait no longer: PgBouncer 1.18 ends when somebody does that to it.
        """
        threading.Thread(target=self._cancel, name="cancel", daemon=True).start()
        return wait_for_read(cast(Any, self), timeout=CANCEL_WAIT.total_seconds())  # anything with a fileno

    def _cancel(self) -> None:
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCEL_PATIENCE.total_seconds())
