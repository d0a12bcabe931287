"""What the relays do on time: delete and redact what is past its life, once an hour, one worker at a time.

A step is one short transaction, and safe to repeat, also beside another's: where a worker dies or loses its lease in
the middle, another goes on with what is left.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings

from notifications.beside import AWAY, Beside
from notifications.lease import Lease
from notifications.outbox import chores
from notifications.outbox.purge import purge
from notifications.outbox.redact import redact
from notifications.outbox.statement import give_back

EVERY: Final = timedelta(hours=1)  # little at a time: what has come of age since takes seconds
BEFORE_LEASE: Final = 0.2  # seconds: at the start of a process, or after it lost its lease
LOOK_EVERY: Final = 60.0  # seconds: what is late by a minute of an hour is late for nobody
KINDS: Final = ("notifications", "attempts", "keys", "files")  # what is counted, in the order in which it is told

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    verb: str  # of what was done, in words
    steps: Callable[[], Iterator[Mapping[str, int]]]  # how many of what each was, which is committed when it is yielded
    every: timedelta = EVERY


def wanted() -> dict[str, Chore]:
    """Those that the settings ask for, by name."""
    if not settings.CHORES:
        return {}
    found = {"purge": Chore("deleted", _purge)}
    if settings.REDACT_AFTER_DAYS:
        found["redact"] = Chore("redacted", _redact)
    return found


def in_words(verb: str, counts: Mapping[str, int]) -> str:
    """Such as "deleted 1,200 notifications, 30 keys"."""
    some = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts.get(kind))
    return f"{verb} {some or 'nothing'}"


def _purge() -> Iterator[Mapping[str, int]]:
    retention = timedelta(days=settings.RETENTION_DAYS)
    for step in purge(key_life=settings.IDEMPOTENCY_KEY_TTL, retention=retention):
        counts = {"notifications": step.notifications, "attempts": step.attempts}
        yield counts | {"keys": step.records, "files": step.files}


def _redact() -> Iterator[Mapping[str, int]]:
    for count in redact(older_than=timedelta(days=settings.REDACT_AFTER_DAYS)):
        yield {"notifications": count}


class Housekeeper(Beside):
    """Does them, each where it is due and nobody else does."""

    name, retried, unexpected = "chores", "chore.retried", "chore.unexpected"
    last_turn = 2.0  # seconds: steps take milliseconds; after a longer one its chore falls to another worker

    def __init__(self, lease: Lease, stopping: threading.Event) -> None:
        super().__init__(stopping)
        self._lease = lease

    def _patience(self) -> float:
        return LOOK_EVERY if self._lease.worker_id else BEFORE_LEASE

    def _turn(self) -> None:
        for name, chore in wanted().items():
            worker_id = self._lease.worker_id
            if worker_id is None or self._stopping.is_set():
                return
            structlog.contextvars.bind_contextvars(chore=name)  # every line of this thread is of one
            self._look_after(name, chore, worker_id)

    def _look_after(self, name: str, chore: Chore, worker_id: UUID) -> None:
        """Do it, where it is due and nobody else does. What it trips over is seen in the admin, too, and is tried again
        when it is due again; but the database's absence is no fault of it."""
        done = chores.take(name, worker=worker_id, every=chore.every)
        if done is None:
            return
        try:
            self._do(name, chore, worker_id, Counter(done))
        except AWAY:
            raise
        except Exception as error:
            chores.end(name, worker=worker_id, result=f"failed: {type(error).__name__}, see the worker's log")
            raise

    def _do(self, name: str, chore: Chore, worker_id: UUID, done: Counter[str]) -> None:
        began = monotonic()
        steps, news = chore.steps(), False
        while chores.hold(name, worker=worker_id, done=done if news else None):
            step_began = monotonic()
            counts = next(steps, None)
            if counts is None:
                result = in_words(chore.verb, done)
                if chores.end(name, worker=worker_id, result=result):
                    log.info("chore.done", result=result, seconds=round(monotonic() - began, 1))
                return
            done.update(counts)
            news = any(counts.values())
            give_back()  # not kept through the pause
            # As long as the step took: however much there is to do, half of the time is the service's alone.
            if self._stopping.wait(monotonic() - step_began):
                chores.hold(name, worker=worker_id, done=done)
                chores.lay_down(name, worker=worker_id)
                log.info("chore.laid_down", so_far=in_words(chore.verb, done))
                return
        log.warning("chore.lost", so_far=in_words(chore.verb, done))
