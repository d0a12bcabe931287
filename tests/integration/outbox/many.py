"""Thousands of notifications that are over, each with its attempt and in its client's lists, made by the database."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Protocol

from django.db import connection

from notifications.outbox.listing import LIST_AND_LABEL_STORED

# Their ids are 1 to %(count)s, under keys that are kept where %(keyed)s. What differs is SQL of n.
_MADE = """
WITH made AS (
    INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at,
        status, attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key,
        created_at, finished_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 1, 'slack', 'slack:ops', 'ops', '', 'hello', '{{}}', 1, now(), {status}, 1,
        0, 0, false, '', '', '', CASE WHEN %(keyed)s THEN 'key ' || n ELSE '' END, now() - {ago}, now() - {ago}
    FROM generate_series(1, %(count)s) AS n RETURNING *
), stored AS (SELECT * FROM made), {listed}, tried AS (
    INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail,
        provider_id, backend, worker_id, possible_duplicate)
    SELECT id, 1, created_at, created_at, CASE status WHEN 'sent' THEN 'accepted' ELSE 'permanent' END, '', '', '', '',
        '', gen_random_uuid(), false
    FROM made
)
INSERT INTO idempotency_record
    (client_id, operation, key, fingerprint, status, location, body, notification_ids, created_at)
SELECT 1, 'accept', idempotency_key, '', 202, '', '', ARRAY[id], created_at FROM made WHERE %(keyed)s
"""


class Cursor(Protocol):
    """One of Django, or of psycopg."""

    def execute(self, sql: Any, parameters: Any = None) -> object: ...


def history(count: int, cursor: Cursor | None = None) -> None:
    """Over sixty days, each under a key; of seven one has failed. `cursor`: of another database than the test's."""
    status = "CASE WHEN n %% 7 = 0 THEN 'failed' ELSE 'sent' END"
    _make(count, status=status, ago="interval '1 day' * (n %% 60)", cursor=cursor)


def sent_long_ago(count: int) -> None:
    """A hundred days, without keys."""
    _make(count, status="'sent'", ago="interval '100 days'", keyed=False)


def failed(count: int) -> None:
    """Just now, without keys."""
    _make(count, status="'failed'", ago="interval '0'", keyed=False)


def _make(count: int, *, status: str, ago: str, keyed: bool = True, cursor: Cursor | None = None) -> None:
    with nullcontext(cursor) if cursor else connection.cursor() as using:
        sql = _MADE.format(status=status, ago=ago, listed=LIST_AND_LABEL_STORED.replace("%", "%%"))
        using.execute(sql, {"count": count, "keyed": keyed})
        using.execute("ANALYZE notification, attempt, idempotency_record, receipt, event, listing, label")
