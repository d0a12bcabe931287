"""A quarter of a million rows, made by the database itself in seconds, and what time and neglect do to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from notifications.outbox.listing import LIST_AND_LABEL_STORED
from notifications.outbox.statement import direct_connection
from tests.eventually import eventually

HISTORY = 200_000
DEAD = 150_000  # of the history, drained from one lane and priority under somebody's snapshot
LIVE = 6_000  # pending and due, over the lanes and priorities
CLAIMED = 400  # by each of two workers
ATTENTION = 3_000
LANES = ("email", "slack:dev", "slack:ops", "sms")
LANE = "slack:ops"  # which the history was drained from
OWN = UUID(int=1)  # a worker that lives, and drained it
GONE = UUID(int=2)  # one without a lease
BUSY = 1  # the client whose everything is, but for some of what is pending
CLIENTS = (BUSY, 2, 3, 4)  # who have anything pending
OPERATION = "POST /api/v1/sms"
TABLES = (
    "notification, attempt, idempotency_record, api_key, client, client_quota, webhook_endpoint, worker, lane_state,"
    "operation,"
    " event, receipt, listing, label, suppression, attachment, attachment_link"
)


# Rows are numbered. Each is a millisecond younger than the one before, and its id says so, as those of version 7 do.
EPOCH = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
_FIRST = int(EPOCH.timestamp() * 1000)
_ID = f"(lpad(to_hex({_FIRST} + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid"
_AT = f"to_timestamp(({_FIRST} + n) / 1000.0)"

# Where each kind of row begins.
PENDING = HISTORY + 1
LATER = PENDING + LIVE
SENDING_OWN = LATER + 1_000
SENDING_GONE = SENDING_OWN + CLAIMED
FAILED = SENDING_GONE + CLAIMED
END = FAILED + ATTENTION


def id_of(n: int) -> UUID:
    return UUID(f"{_FIRST + n:012x}70008000{n:012x}")


def moment(n: int) -> datetime:
    return EPOCH + timedelta(milliseconds=n)


def digest(n: int) -> bytes:
    return hashlib.sha256(f"nk_{n}".encode()).digest()


class Stages:
    """One load that ages: each stage is reached from the one before it."""

    def __init__(self) -> None:
        self._steps = {
            "dead entries and stale statistics": self._dead,
            "dead entries": self._analyzed,
            "fresh": self._vacuumed,
            "believed to be empty": self._believed_empty,
        }
        self._waiting = list(self._steps)
        self._pinned: psycopg.Connection[Any] | None = None

    def reach(self, name: str) -> None:
        """Stages are taken in their order."""
        while name in self._waiting:
            self._steps[self._waiting.pop(0)]()

    def end(self) -> None:
        self._unpin()
        _run(f"TRUNCATE {TABLES}")
        _run("ALTER TABLE notification RESET (autovacuum_enabled)")

    def _dead(self) -> None:
        """Analyzed while most of the history was pending; then it was claimed and sent, and a snapshot keeps it all."""
        _run("ALTER TABLE notification SET (autovacuum_enabled = false)")
        _fill(1, HISTORY - DEAD, status="sent")
        _fill(HISTORY - DEAD + 1, HISTORY, status="pending", lane=f"'{LANE}'", priority="1")
        _run(f"WITH stored AS (SELECT * FROM notification), {LIST_AND_LABEL_STORED} SELECT 1")
        _fill_live()
        _fill_others()
        _run("ANALYZE")
        self._pinned = direct_connection("somebody's report")
        self._pinned.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self._pinned.execute("SELECT count(*) FROM client")
        drained = {"first": id_of(HISTORY - DEAD + 1), "last": id_of(HISTORY), "worker": OWN}
        _run(
            """UPDATE notification SET status = 'sending', worker_id = %(worker)s, claimed_at = now(), attempt = 1
               WHERE id BETWEEN %(first)s AND %(last)s""",
            drained,
        )
        _run(
            """UPDATE notification SET status = 'sent', worker_id = NULL, claimed_at = NULL, finished_at = now()
               WHERE id BETWEEN %(first)s AND %(last)s""",
            drained,
        )

    def _analyzed(self) -> None:
        _run("ANALYZE notification")

    def _vacuumed(self) -> None:
        self._unpin()
        # Autovacuum's ANALYZE of another table has a snapshot for some seconds, which would keep what is dead, too.
        eventually(_nobody_has_a_snapshot, seconds=60, what="the end of everybody's snapshots")
        _run("VACUUM ANALYZE notification")

    def _believed_empty(self) -> None:
        """Analyzed in a quiet minute, when nothing was open; then a burst came."""
        _run("DELETE FROM listing WHERE id IN (SELECT id FROM notification WHERE status <> 'sent')")
        _run("DELETE FROM label WHERE id IN (SELECT id FROM notification WHERE status <> 'sent')")
        _run("DELETE FROM notification WHERE status <> 'sent'")
        _run("VACUUM ANALYZE notification")
        _fill_live()

    def _unpin(self) -> None:
        if self._pinned is not None:
            self._pinned.close()
            self._pinned = None


def _nobody_has_a_snapshot() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                   AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL)"""
        )
        return bool(cursor.fetchone() == (True,))


def _run(text: str, parameters: Mapping[str, object] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, parameters)


_A_LANE = f"(ARRAY{list(LANES)})[1 + n % 4]"
_A_CLIENT = f"(ARRAY{list(CLIENTS)})[1 + n / 4 % {len(CLIENTS)}]"
_A_PRIORITY = "CASE WHEN n / 4 % 150 = 0 THEN 0 WHEN n / 4 % 3 = 0 THEN 2 ELSE 1 END"  # ten high ones due in each lane


_A_LABEL = "CASE WHEN n % 100 = 0 THEN jsonb_build_object('order', n / 100 % 50) ELSE '{}' END"


def _fill(
    first: int,
    last: int,
    *,
    status: str,
    lane: str = _A_LANE,
    priority: str = _A_PRIORITY,
    due: str = _AT,
    worker: UUID | None = None,
    client: str = str(BUSY),
) -> None:
    """Notifications `first` to `last`; `lane`, `priority`, `due` and `client` are SQL of n."""
    claimed = f"'{worker}'::uuid, now(), now()" if worker else "NULL, NULL, NULL"
    finished = "now()" if status in {"sent", "failed"} else "NULL"
    _run(
        f"""INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority,
                due_at, expires_at, status, attempt, tries, losses, possible_duplicate, worker_id, claimed_at,
                started_at, provider_id, error_code, correlation_id, idempotency_key, created_at, finished_at)
            SELECT {_ID}, {client}, split_part({lane}, ':', 1),
                {lane}, 'somebody', '', repeat('hello ', 20), {_A_LABEL}, {priority}, {due},
                CASE WHEN n % 10 = 0 THEN now() + interval '1 day' END, '{status}', {int(status != "pending")}, 0, 0,
                false, {claimed}, '', '', 'c-' || n, 'key-' || n, {_AT}, {finished}
            FROM generate_series({first}, {last}) AS n"""
    )


def _fill_live() -> None:
    _fill(PENDING, LATER - 1, status="pending", client=_A_CLIENT)
    _fill(LATER, SENDING_OWN - 1, status="pending", due="now() + interval '1 day'")
    _fill(SENDING_OWN, SENDING_GONE - 1, status="sending", worker=OWN)
    _fill(SENDING_GONE, FAILED - 1, status="sending", worker=GONE)
    _fill(FAILED, END - 1, status="failed")
    _run(
        f"WITH stored AS (SELECT * FROM notification WHERE id >= '{id_of(PENDING)}'), {LIST_AND_LABEL_STORED} SELECT 1"
    )


def _fill_others() -> None:
    _run(
        "INSERT INTO client (id, name, is_active, created_at)"
        " SELECT n, 'client ' || n, true, now() FROM generate_series(1, 100) AS n"
    )
    _run(
        f"""INSERT INTO api_key (client_id, name, scopes, is_test, prefix, digest, created_at)
            SELECT 1 + n % 100, '', '{{send}}', false, 'prefix', sha256(('nk_' || n)::bytea), now()
            FROM generate_series(1, {HISTORY}) AS n"""
    )
    _run(
        f"""INSERT INTO idempotency_record (client_id, operation, key, fingerprint, status, location, body,
                notification_ids, created_at)
            SELECT {BUSY}, '{OPERATION}', 'key-' || n, '\\x00', 202, '/somewhere', '\\x7b7d', ARRAY[{_ID}], {_AT}
            FROM generate_series(1, {HISTORY}) AS n"""
    )
    _run(
        f"""INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail,
                provider_id, backend, worker_id, possible_duplicate)
            SELECT {_ID}, 1, {_AT}, {_AT}, 'accepted', '', '', '', '', 'slack_webhook', '{OWN}', false
            FROM generate_series(1, {HISTORY}) AS n"""
    )
    _run(
        f"""INSERT INTO receipt (notification_id, attempt, provider_id, rank, code, received_at)
            SELECT {_ID}, 1, 'SM' || n, 1, '', {_AT} FROM generate_series(1, {HISTORY}) AS n"""
    )
    _run(
        f"""INSERT INTO suppression (channel, recipient, test, reason, detail, source, created_by, created_at)
            SELECT split_part({_A_LANE}, ':', 1), 'somebody else ' || n, n % 10 = 0, 'opt_out', '', '', '', now()
            FROM generate_series(1, {HISTORY}) AS n"""
    )
    _run(
        """INSERT INTO operation (at, actor, via, act, subject, state, touched, left_alone, detail, finished_at)
           SELECT now(), 'ada', 'admin', 'resend', 'one', 'done', 1, 0, '', now() FROM generate_series(1, 5000)"""
    )
    _run(
        f"""INSERT INTO worker (id, beat, host, pid, started_at)
            SELECT gen_random_uuid(), 5, 'host', 1, now() FROM generate_series(1, 20)
            UNION ALL SELECT '{OWN}', 5, 'host', 1, now()"""
    )
