"""pending: a notification and its idempotency record come to be together, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
from psycopg.types.json import Json

from notifications.outbox.statement import run

# Another request with this key is in flight: wait this long for it to end before saying so. PROVIDERS.md: 1 s.
KEY_WAIT: Final = timedelta(seconds=1)

_NOTIFICATION_COLUMNS: Final = """
    id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, expires_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at
"""
_NOTIFICATION_VALUES: Final = """
    %(id)s, %(client)s, %(channel)s, %(lane)s, %(recipient)s, %(subject)s, %(body)s, %(metadata)s, %(priority)s,
    greatest(now(), %(send_at)s::timestamptz), %(expires_at)s::timestamptz, 'pending',
    0, 0, 0, false, '', '', %(correlation_id)s, coalesce(%(key)s::text, ''), %(created_at)s
"""

# Inserts the record and, only if the key was free, the notification.
# A transaction that holds the same key uncommitted is waited for, %(key_wait)s at most (null: the caller's own
# lock_timeout).
# The setting lasts as long as the transaction, so it needs no round trip and survives a transaction pooler.
# Index: primary key of idempotency_record. Rows: (1) if accepted; none if the key was taken.
INSERT_KEYED: Final = f"""
WITH waiting AS MATERIALIZED (
    SELECT set_config('lock_timeout', coalesce(%(key_wait)s::text, current_setting('lock_timeout')), true)
), record AS (
    INSERT INTO idempotency_record
        (client_id, operation, key, fingerprint, status, location, body, notification_ids, created_at)
    SELECT %(client)s, %(operation)s, %(key)s::text, %(fingerprint)s, %(answer_status)s, %(location)s, %(answer)s,
           ARRAY[%(id)s::uuid], %(created_at)s
    FROM waiting
    ON CONFLICT (client_id, operation, key) DO NOTHING
    RETURNING 1
)
INSERT INTO notification ({_NOTIFICATION_COLUMNS})
SELECT {_NOTIFICATION_VALUES} FROM record
RETURNING 1
"""

# The same without a key (IDEMPOTENCY_KEY_REQUIRED=off). Rows: (1).
INSERT_UNKEYED: Final = f"""
INSERT INTO notification ({_NOTIFICATION_COLUMNS}) VALUES ({_NOTIFICATION_VALUES}) RETURNING 1
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
    metadata: dict[str, object]
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
class Record:
    """A key that was used."""

    fingerprint: bytes
    answer: Answer


def insert(
    new: NewNotification,
    answer: Answer,
    *,
    operation: str,
    key: str | None,
    fingerprint: bytes,
    key_wait: timedelta | None,
) -> bool:
    """Insert both rows; False when the key is taken (by a committed transaction) and nothing was written.

    Raises: OperationalError with SQLSTATE 55P03 when another transaction holds the key past `key_wait`, or a whole
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
        "metadata": Json(new.metadata),
        "priority": new.priority,
        "send_at": new.send_at,
        "expires_at": new.expires_at,
        "correlation_id": new.correlation_id,
        "created_at": new.created_at,
        "key": key,
    }
    if key is None:
        return bool(run(INSERT_UNKEYED, parameters))
    parameters |= {
        "operation": operation,
        "fingerprint": fingerprint,
        "answer_status": answer.status,
        "location": answer.location,
        "answer": answer.body,
        "key_wait": None if key_wait is None else f"{key_wait / timedelta(milliseconds=1):.0f}ms",
    }
    return bool(run(INSERT_KEYED, parameters))


def waited_for_key(error: BaseException) -> bool:
    """Whether a lock timeout (SQLSTATE 55P03) ended a wait for another's key, and not for a whole table."""
    cause = error.__cause__
    # Whatever the server's language, the context names the relation whose row was waited for; a table's lock has none.
    return isinstance(cause, psycopg.Error) and "idempotency_record" in (cause.diag.context or "")


def read_record(client_id: int, operation: str, key: str) -> Record | None:
    rows = run(READ_RECORD, {"client": client_id, "operation": operation, "key": key})
    if not rows:
        return None
    fingerprint, status, location, body = rows[0]
    return Record(bytes(fingerprint), Answer(status, location, bytes(body)))
