"""A thread of a worker process for what may take long: beside the relay, whose looks must not wait for it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import ClassVar, Final

import structlog
from django.db import InterfaceError, OperationalError

from notifications.outbox.statement import give_back

AWAY: Final = (OperationalError, InterfaceError)  # what the database raises that is no fault of a statement
AFTER_TROUBLE: Final = 1.0  # seconds

log = structlog.get_logger(__name__)


class Beside(ABC):
    """Takes a turn at once, when it is woken, and after some patience by itself."""

    name: ClassVar[str]
    retried: ClassVar[str]  # the events that it logs: the database was away;
    unexpected: ClassVar[str]  # and an error of ours, with its traceback
    last_turn: ClassVar[float]  # seconds for which whoever stops it waits for the end of one

    def __init__(self, stopping: threading.Event | None = None) -> None:
        """`stopping`: the first word of SIGTERM, after which no turn begins; none: there is only `stop`."""
        self._stopping = stopping or threading.Event()
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @abstractmethod
    def _turn(self) -> None:
        """Do what there is to do, as long as it is not to stop."""

    @abstractmethod
    def _patience(self) -> float:
        """Seconds without a word, after which it looks by itself."""

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        self._asked.set()

    def stop(self) -> None:
        """After the transaction that it is in."""
        self._stopping.set()
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self.last_turn)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._asked.clear()
            try:
                self._turn()
            except AWAY as error:
                log.warning(self.retried, error=type(error).__name__)
                self._stopping.wait(AFTER_TROUBLE)
            except Exception:  # our bug: the next turn tries again, and a worker without the thread would be worse
                log.exception(self.unexpected)
                self._stopping.wait(AFTER_TROUBLE)
            finally:
                give_back()
            self._asked.wait(self._patience())
