"""What goes on while a migration runs, by a few statements of its own: the code of no release can be run on every
schema. They take the locks that accepts, claims and records take, on columns that have been there from 0005 on.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final
from uuid import UUID, uuid4

import psycopg

from notifier.web_database import LOCK_WAIT
from tests.releases.databases import Session

ACCEPT: Final = """
WITH accepted AS (
    INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at,
        status, attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key,
        created_at)
    SELECT %(id)s, id, 'slack', 'slack:ops', 'ops', '', 'hello', '{}', 1, now(), 'pending', 0, 0, 0, false, '', '', '',
        %(key)s, now()
    FROM client WHERE name = 'a client'
    RETURNING id, client_id
), listed AS (INSERT INTO listing (client_id, id, recipient, correlation) SELECT client_id, id, 1, 1 FROM accepted)
INSERT INTO idempotency_record
    (client_id, operation, key, fingerprint, status, location, body, notification_ids, created_at)
SELECT client_id, 'accept', %(key)s, '', 202, '', '', ARRAY[id], now() FROM accepted
"""
CLAIM: Final = """
UPDATE notification SET status = 'sending', attempt = attempt + 1, worker_id = %(worker)s, claimed_at = now()
WHERE id IN (
    SELECT id FROM notification WHERE status = 'pending' AND lane = 'slack:ops'
    ORDER BY priority, due_at LIMIT 20 FOR UPDATE SKIP LOCKED
)
RETURNING id, attempt
"""
RECORD: Final = """
WITH recorded AS (
    UPDATE notification SET status = 'sent', finished_at = now(), worker_id = NULL, claimed_at = NULL
    WHERE id = ANY(%(ids)s) AND worker_id = %(worker)s
    RETURNING id, attempt
)
INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail, provider_id,
    backend, worker_id, possible_duplicate)
SELECT id, attempt, now(), now(), 'accepted', '', '', '', '', '', %(worker)s, false FROM recorded
"""
PAUSE_STATE: Final = "SELECT lane, paused_until FROM lane_state"
BEAT: Final = "UPDATE worker SET beat = beat + 1 WHERE id = %(worker)s"

# Who waits for which table's lock, and for how many seconds already.
WAITING: Final = """
SELECT l.pid, l.waitstart, c.relname, l.mode, extract(epoch FROM clock_timestamp() - l.waitstart),
    coalesce(a.application_name, '')
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE NOT l.granted AND l.waitstart IS NOT NULL AND l.database = (
    SELECT oid FROM pg_database WHERE datname = current_database()
)
"""
LOOK_EVERY: Final = 0.005  # seconds
TRAFFIC: Final = "traffic"  # the application_name of its sessions


@dataclass(frozen=True, slots=True)
class Wait:
    """One session's wait for one lock, as long as it was seen."""

    table: str
    mode: str
    seconds: float
    whose: str


class Traffic:
    """Accepts, claims and records by a session each, as fast as they go; and somebody who watches who waits."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._seen: dict[tuple[object, ...], Wait] = {}
        self.times: dict[str, list[tuple[float, float]]] = defaultdict(list)  # began (of the monotonic clock), seconds
        self.refused = 0  # statements that waited for a lock as long as a request may
        self._threads = [
            threading.Thread(target=self._guarded, args=(act,), daemon=True)
            for act in (self._accept, self._accept, self._dispatch, self._watch)
        ]

    @contextmanager
    def flowing(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)
        if self._failures:
            raise self._failures[0]

    def accepted(self, *, since: float = 0.0, until: float = float("inf")) -> int:
        return sum(since <= began <= until for began, _ in list(self.times["accept"]))

    def waits(self) -> list[Wait]:
        """Of accepts, claims and records; the longest first."""
        return sorted((wait for wait in self._seen.values() if wait.whose == TRAFFIC), key=lambda wait: -wait.seconds)

    def longest(self) -> dict[str, float]:
        """The slowest statement of each kind, in seconds: its wait, and what else it takes."""
        return {act: max(seconds for _, seconds in times) for act, times in self.times.items()}

    # --- its sessions ------------------------------------------------------------------------------------

    def _guarded(self, act: Callable[[Session], None]) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True, application_name=TRAFFIC) as session:
                session.execute(f"SET lock_timeout = '{LOCK_WAIT.total_seconds():.0f}s'".encode())
                act(session)
        except BaseException as error:
            self._failures.append(error)
            raise

    def _accept(self, session: Session) -> None:
        while not self._stop.wait(0.001):
            id_ = uuid4()
            self._timed("accept", session, ACCEPT, {"id": id_, "key": str(id_)})

    def _dispatch(self, session: Session) -> None:
        worker = uuid4()
        held: list[UUID] = []
        while not self._stop.wait(0.001):
            self._timed("beat", session, BEAT, {"worker": worker})
            self._timed("read", session, PAUSE_STATE, {})
            held.extend(row[0] for row in self._timed("claim", session, CLAIM, {"worker": worker}))
            if held:
                self._timed("record", session, RECORD, {"worker": worker, "ids": held})
                held.clear()

    def _timed(self, act: str, session: Session, sql: str, parameters: dict[str, object]) -> list[tuple[object, ...]]:
        began = monotonic()
        try:
            cursor = session.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []
        except psycopg.errors.LockNotAvailable:
            self.refused += 1
            return []
        finally:
            self.times[act].append((began, monotonic() - began))

    def _watch(self, session: Session) -> None:
        session.execute("SET application_name = 'who watches'")
        while not self._stop.wait(LOOK_EVERY):
            for pid, since, table, mode, seconds, whose in session.execute(WAITING.encode()).fetchall():
                self._seen[pid, since, table] = Wait(table, mode, float(seconds), whose)
