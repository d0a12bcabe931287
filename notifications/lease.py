"""A worker's right to its claims: a row whose beat this process raises, and its watch over the beats of others.

No wall clock judges a lease. Another worker is dead when its beat stood still for four seconds of our monotonic clock
while our own renewals succeeded throughout: an outage of the database stops everybody's beat and buries nobody.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from time import monotonic
from typing import Final
from uuid import UUID

import psycopg
import structlog
from django.db import Error as DatabaseError

from notifications import metrics
from notifications.outbox import workers
from notifications.outbox.statement import Row, direct_connection

BEAT_EVERY: Final = 0.5  # seconds: two looks a second keep the verdict within half a second of the limit below
DEAD_AFTER: Final = 4.0  # seconds without a beat, of the observer's clock
STALE_AFTER: Final = 3.0  # seconds since our own last good renewal began: sooner than anybody could declare us dead
# A look that comes a little early must not cost half a second more; still far above STALE_AFTER.
_EARLY: Final = 0.1

log = structlog.get_logger(__name__)


class Lease:
    """One worker process's lease; `start` runs its thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._id: UUID | None = None
        self._renewed = -STALE_AFTER  # when the last good renewal began
        self._seen: dict[UUID, tuple[int, float]] = {}  # others: beat, since when
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self.news = threading.Event()  # wakes the relay: another worker is dead, or a lane was drained

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the row is removed by whoever takes back what is still claimed under it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    @property
    def worker_id(self) -> UUID | None:
        """The id to claim under; None while there is no lease."""
        return self._id

    def holds(self, worker_id: UUID) -> bool:
        """Whether a send claimed under `worker_id` may begin now."""
        # The claims bear the very id that the lease gave out; comparing UUIDs takes as long as all the rest of this.
        return (self._id is worker_id or self._id == worker_id) and monotonic() - self._renewed < STALE_AFTER

    def dead(self) -> list[tuple[UUID, int]]:
        """Other workers whose beat stands still, with that beat; none while our own renewal is overdue."""
        with self._lock:
            now = monotonic()
            if now - self._renewed > STALE_AFTER:
                return []  # the database stands still for everybody, and its first answer may not be to us
            limit = now - DEAD_AFTER + _EARLY
            return [(worker, beat) for worker, (beat, since) in self._seen.items() if since <= limit]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with direct_connection("notifier lease") as connection:
                    while not self._stop.is_set():
                        self._renew(connection)
                        self._stop.wait(BEAT_EVERY)
            except (psycopg.Error, DatabaseError) as error:
                with self._lock:
                    self._seen.clear()  # we were blind meanwhile: begin to watch anew
                log.warning("lease.unreachable", error=type(error).__name__, sqlstate=getattr(error, "sqlstate", None))
                self._stop.wait(BEAT_EVERY)

    def _renew(self, connection: psycopg.Connection[Row]) -> None:
        began = monotonic()
        if self._id is None:
            fresh = uuid.uuid4()
            workers.register(connection, fresh, host=socket.gethostname(), pid=os.getpid())
            self._id = fresh
            log.info("lease.taken", worker_id=str(fresh))
        beats = workers.beat(connection, self._id)
        if not beats.renewed:
            # Somebody buried us, with reason or by hand. What we hold is theirs now; the fence keeps our results out.
            log.error("lease.lost", worker_id=str(self._id))
            metrics.lease_losses().inc()
            self._id = None
            return
        with self._lock:
            now = monotonic()
            # A renewal that took long left us blind for as long, up to its answer: in that the others stand where they
            # stood, and their own may be answered a moment later.
            if now - self._renewed > STALE_AFTER:
                self._seen.clear()
            self._renewed = began
            self._seen = {
                worker: (
                    beat,
                    self._seen[worker][1] if worker in self._seen and self._seen[worker][0] == beat else now,
                )
                for worker, beat in beats.others.items()
            }
        if self.dead():
            self.news.set()
