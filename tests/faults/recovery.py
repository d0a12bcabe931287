"""Measures how long the claims of dead workers stay theirs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic
from typing import Final
from uuid import UUID

import psycopg

LOOK_EVERY: Final = 0.02  # seconds
HOPELESS: Final = 30.0  # seconds after which claims count as never taken back
# A claim may commit just after its worker died, and never does this much later.
HELD_NOTHING: Final = 1.0

# Rows: (worker), each that holds claims.
HOLDERS: Final = """
SELECT DISTINCT worker_id FROM notification WHERE status = 'sending' AND worker_id = ANY(%s)
"""


@dataclass(slots=True)
class Watch:
    """One death."""

    worker_id: UUID
    died_at: float  # of the monotonic clock
    held: bool = False  # whether there was anything to take back
    ended_at: float = 0.0  # when nothing was left, or we gave up; 0 while it lasts
    hopeless: bool = False


class Recoveries:
    """Use it as a context; its thread watches what `watch` was told of."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._stop = threading.Event()
        self._watches: list[Watch] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recoveries", daemon=True)

    def __enter__(self) -> Recoveries:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def watch(self, worker_id: UUID, *, died_at: float) -> Watch:
        watch = Watch(worker_id, died_at)
        self._watches.append(watch)
        return watch

    @property
    def under_way(self) -> bool:
        if self._failure is not None:
            raise self._failure
        return any(not watch.ended_at for watch in list(self._watches))

    def _run(self) -> None:
        try:
            with psycopg.connect(self._database, autocommit=True) as connection:
                while not self._stop.wait(LOOK_EVERY):
                    self._look(connection)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asks
            self._failure = error

    def _look(self, connection: psycopg.Connection[tuple[UUID]]) -> None:
        open_ = [watch for watch in list(self._watches) if not watch.ended_at]
        if not open_:
            return
        holders = {row[0] for row in connection.execute(HOLDERS, [[watch.worker_id for watch in open_]])}
        now = monotonic()
        for watch in open_:
            since = now - watch.died_at
            if watch.worker_id in holders:
                watch.held = True
                watch.hopeless = since > HOPELESS
            if watch.hopeless or (watch.worker_id not in holders and (watch.held or since > HELD_NOTHING)):
                watch.ended_at = now
