"""pending: a notification and its idempotency record come to be together, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg

from notifications.outbox.statement import run

# Another request with this key is in flight: wait this long for it to end before saying so. PROVIDERS.md: 1 s.
KEY_WAIT: Final = timedelta(seconds=1)

_NOTIFICATION_COLUMNS: Final = """
    id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, expires_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at
"""
_NOTIFICATION_VALUES: Final = """
    %(id)s, %(client)s, %(channel)s, %(lane)s, %(recipient)s, %(subject)s, %(body)s, %(metadata)s::jsonb, %(priority)s,
    greatest(now(), %(send_at)s::timestamptz), %(expires_at)s::timestamptz, 'pending',
    0, 0, 0, false, '', '', %(correlation_id)s, coalesce(%(key)s::text, ''), %(created_at)s
"""
# Many, as one JSON array: half the work, on both ends, of arrays for unnest().
_ROWS: Final = """
    json_to_recordset(%(rows)s::json) AS r (
        id uuid, channel text, lane text, recipient text, subject text, body text, metadata jsonb, priority smallint,
        send_at timestamptz, expires_at timestamptz
    )
"""
_ROWS_VALUES: Final = """
    r.id, %(client)s, r.channel, r.lane, r.recipient, r.subject, r.body, r.metadata, r.priority,
    greatest(now(), r.send_at), r.expires_at, 'pending',
    0, 0, 0, false, '', '', %(correlation_id)s, coalesce(%(key)s::text, ''), %(created_at)s
"""

# Inserts the record, if the key is free; what is inserted only then follows.
# A transaction that holds the same key uncommitted is waited for, %(key_wait)s at most (null: the caller's own
# lock_timeout).
# The setting lasts as long as the transaction, so it needs no round trip and survives a transaction pooler.
# Index: primary key of idempotency_record.
_IF_KEY_IS_FREE: Final = """
WITH waiting AS MATERIALIZED (
    SELECT set_config('lock_timeout', coalesce(%(key_wait)s::text, current_setting('lock_timeout')), true)
), record AS (
    INSERT INTO idempotency_record
        (client_id, operation, key, fingerprint, status, location, body, notification_ids, created_at)
    SELECT %(client)s, %(operation)s, %(key)s::text, %(fingerprint)s, %(answer_status)s, %(location)s, %(answer)s,
           %(ids)s::text::uuid[], %(created_at)s
    FROM waiting
    ON CONFLICT (client_id, operation, key) DO NOTHING
    RETURNING 1
)
"""

# Rows: (1) for each if accepted; none if the key was taken.
INSERT_KEYED: Final = f"""{_IF_KEY_IS_FREE}
INSERT INTO notification ({_NOTIFICATION_COLUMNS})
SELECT {_NOTIFICATION_VALUES} FROM record
RETURNING 1
"""
INSERT_MANY_KEYED: Final = f"""{_IF_KEY_IS_FREE}, stored AS (
    INSERT INTO notification ({_NOTIFICATION_COLUMNS})
    SELECT {_ROWS_VALUES} FROM record, {_ROWS}
)
SELECT 1 FROM record
"""

# The same without a key (IDEMPOTENCY_KEY_REQUIRED=off). Rows: (1), and none of many.
INSERT_UNKEYED: Final = f"""
INSERT INTO notification ({_NOTIFICATION_COLUMNS}) VALUES ({_NOTIFICATION_VALUES}) RETURNING 1
"""
INSERT_MANY_UNKEYED: Final = f"""
INSERT INTO notification ({_NOTIFICATION_COLUMNS}) SELECT {_ROWS_VALUES} FROM {_ROWS}
"""

# What a key was answered. A statement of its own: the one that lost the race cannot see the winner's row.
# Index: primary key. Rows: (fingerprint, status, location, body), at most one.
READ_RECORD: Final = """
SELECT fingerprint, status, location, body FROM idempotency_record
WHERE client_id = %(client)s AND operation = %(operation)s AND key = %(key)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A validated notification, as it will be stored."""

    id: UUID
    client_id: int
    channel: str
    lane: str
    recipient: str
    subject: str
    body: str
    metadata: Mapping[str, object]
    priority: int
    send_at: datetime | None  # due at once where None or past; the database's clock decides
    expires_at: datetime | None
    correlation_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client is told, now and at every replay of its key."""

    status: int
    location: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Use:
    """What a client's key is used for."""

    client_id: int
    operation: str
    key: str | None
    fingerprint: bytes
    wait: timedelta | None = None  # for another's transaction with this key; None: as long as the session lets it


@dataclass(frozen=True, slots=True)
class Record:
    """A key that was used."""

    fingerprint: bytes
    answer: Answer


def insert(new: NewNotification, answer: Answer, use: Use) -> bool:
    """Insert both rows; False when the key is taken (by a committed transaction) and nothing was written.

    Raises: OperationalError with SQLSTATE 55P03 when another transaction holds the key past `use.wait`, or a whole
    table past the session's own limit; `waited_for_key` tells them apart.
    """
    parameters = {
        "id": new.id,
        "client": new.client_id,
        "channel": new.channel,
        "lane": new.lane,
        "recipient": new.recipient,
        "subject": new.subject,
        "body": new.body,
        "metadata": json.dumps(new.metadata) if new.metadata else "{}",
        "priority": new.priority,
        "send_at": new.send_at,
        "expires_at": new.expires_at,
        "correlation_id": new.correlation_id,
        "created_at": new.created_at,
        "key": use.key,
    }
    if use.key is None:
        return bool(run(INSERT_UNKEYED, parameters))
    return bool(run(INSERT_KEYED, parameters | _record(answer, use, [str(new.id)])))


def insert_many(news: Sequence[NewNotification], answer: Answer, use: Use) -> bool:
    """The same for all of a batch, which shares client, correlation id and time of acceptance."""
    first = news[0]
    rows: list[dict[str, Any]] = [
        {
            "id": str(new.id),
            "channel": new.channel,
            "lane": new.lane,
            "recipient": new.recipient,
            "subject": new.subject,
            "body": new.body,
            "metadata": new.metadata,
            "priority": new.priority,
            "send_at": new.send_at and new.send_at.isoformat(),
            "expires_at": new.expires_at and new.expires_at.isoformat(),
        }
        for new in news
    ]
    parameters: dict[str, object] = {
        "client": first.client_id,
        "correlation_id": first.correlation_id,
        "created_at": first.created_at,
        "key": use.key,
        "rows": json.dumps(rows, ensure_ascii=False),
    }
    if use.key is None:
        run(INSERT_MANY_UNKEYED, parameters)
        return True
    return bool(run(INSERT_MANY_KEYED, parameters | _record(answer, use, [row["id"] for row in rows])))


def _record(answer: Answer, use: Use, ids: Sequence[str]) -> dict[str, object]:
    return {
        "ids": f"{{{','.join(ids)}}}",
        "operation": use.operation,
        "fingerprint": use.fingerprint,
        "answer_status": answer.status,
        "location": answer.location,
        "answer": answer.body,
        "key_wait": None if use.wait is None else f"{use.wait / timedelta(milliseconds=1):.0f}ms",
    }


def waited_for_key(error: BaseException) -> bool:
    """Whether a lock timeout (SQLSTATE 55P03) ended a wait for another's key, and not for a whole table."""
    cause = error.__cause__
    # Whatever the server's language, the context names the relation whose row was waited for; a table's lock has none.
    return isinstance(cause, psycopg.Error) and "idempotency_record" in (cause.diag.context or "")


def read_record(use: Use) -> Record | None:
    if use.key is None:
        return None
    rows = run(READ_RECORD, {"client": use.client_id, "operation": use.operation, "key": use.key})
    if not rows:
        return None
    fingerprint, status, location, body = rows[0]
    return Record(bytes(fingerprint), Answer(status, location, bytes(body)))
