"""pending: a notification, its idempotency record and its place in the lists come to be together, or not at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

import psycopg

from channels.registry import MARK, is_test
from notifications.outbox import suppress
from notifications.outbox.attachments import FILE_STORED
from notifications.outbox.listing import LIST_AND_LABEL_STORED, LIST_STORED
from notifications.outbox.statement import run

# Accepts what several callers ask for: of each, under its key or none, one notification or more. A key's record is
# inserted if the key is free; only then do its notifications follow.
# A transaction that holds one of the keys uncommitted is waited for, %(key_wait)s at most (null: the caller's own
# lock_timeout). The setting lasts as long as the transaction, so it needs no round trip and survives a transaction
# pooler.
# %(asked)s is one JSON array: half the work, on both ends, of arrays for unnest().
# Of what has a suppressed recipient nothing is written; its neighbours do not notice. To look for them costs a fifth of
# what a lone notification does, so the form that does not is for channels that nobody was suppressed for a moment ago.
# Indexes: primary key of idempotency_record, suppression_once. Rows: (id of the first notification, null) of each that
# was accepted, and (the same, ["reason address", …] as the text of JSON) of what has suppressed recipients.
_ACCEPT: Final[LiteralString] = """
WITH waiting AS MATERIALIZED (
    SELECT set_config('lock_timeout', coalesce(%(key_wait)s::text, current_setting('lock_timeout')), true)
), asked AS MATERIALIZED (
    SELECT a.*{looked} FROM waiting, json_to_recordset(%(asked)s::json) AS a (
        ids uuid[], client bigint, operation text, key text, fingerprint text, status smallint, location text,
        answer text, correlation_id text, created_at timestamptz, notifications json{addresses}
    )
), record AS (
    INSERT INTO idempotency_record
        (client_id, operation, key, fingerprint, status, location, body, notification_ids, created_at)
    SELECT client, operation, key, decode(fingerprint, 'hex'), status, location, convert_to(answer, 'UTF8'), ids,
           created_at
    FROM asked WHERE key IS NOT NULL{and free}
    ON CONFLICT (client_id, operation, key) DO NOTHING
    RETURNING notification_ids[1] AS first
), answered AS (
    SELECT * FROM asked WHERE key IS NULL{or not} OR ids[1] IN (SELECT first FROM record)
), stored AS (
    INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at,
        expires_at, status, attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id,
        idempotency_key, created_at, content, template)
    SELECT n.id, a.client, n.channel, n.lane, n.recipient, n.subject, n.body, n.metadata, n.priority,
        greatest(now(), n.send_at), n.expires_at, 'pending', 0, 0, 0, false, '', '', a.correlation_id,
        coalesce(a.key, ''), a.created_at, n.content, n.template
    FROM answered AS a CROSS JOIN LATERAL json_to_recordset(a.notifications) AS n (
        id uuid, channel text, lane text, recipient text, subject text, body text, metadata jsonb, priority smallint,
        send_at timestamptz, expires_at timestamptz, content jsonb, template text
    )
    WHERE true{and free}
    RETURNING id, client_id, lane, recipient, correlation_id, metadata
), """
_FREELY: Final = (
    _ACCEPT.replace("{looked}", "").replace("{addresses}", "").replace("{and free}", "").replace("{or not}", "")
)
# All the addresses of one caller are one scan.
_LOOKING: Final = (
    _ACCEPT.replace(
        "{looked}",
        """, ARRAY(
        SELECT s.reason || ' ' || s.address FROM suppression AS s WHERE s.address = ANY(a.addresses)
    ) AS suppressed""",
    )
    .replace("{addresses}", ", addresses text[]")
    .replace("{and free}", " AND suppressed = '{}'")
    .replace("{or not}", " OR suppressed <> '{}'")
)
_AND_TELL: Final = "\nSELECT ids[1], NULL FROM answered\n"
_AND_TELL_WHY: Final = """
SELECT ids[1], CASE WHEN suppressed <> '{}' THEN array_to_json(suppressed)::text END FROM answered
"""
ACCEPT: Final = f"{_FREELY}{LIST_STORED}{_AND_TELL}"
ACCEPT_LABELED: Final = f"{_FREELY}{LIST_AND_LABEL_STORED}{_AND_TELL}"  # for any with metadata
ACCEPT_LOOKING: Final = f"{_LOOKING}{LIST_AND_LABEL_STORED}{_AND_TELL_WHY}"  # where some are suppressed
ACCEPT_WITH_FILES: Final = f"{_LOOKING}{LIST_AND_LABEL_STORED}, {FILE_STORED}{_AND_TELL_WHY}"  # for any that has one


def traced(accepting: LiteralString) -> LiteralString:
    """The same form of it for what has a `traceparent`: nobody else's statement is a byte longer for that."""
    return (
        accepting.replace(
            "created_at timestamptz, notifications", "created_at timestamptz, traceparent text, notifications"
        )
        .replace("content, template)", "content, template, traceparent)")
        .replace("n.content, n.template\n", "n.content, n.template, a.traceparent\n")
    )


_TRACED: Final = {form: traced(form) for form in (ACCEPT, ACCEPT_LABELED, ACCEPT_LOOKING, ACCEPT_WITH_FILES)}

# What a key was answered. A statement of its own: the one that lost the race cannot see the winner's row.
# Index: primary key. Rows: (fingerprint, status, location, body), at most one.
READ_RECORD: Final = """
SELECT fingerprint, status, location, body FROM idempotency_record
WHERE client_id = %(client)s AND operation = %(operation)s AND key = %(key)s
"""


# Keeps what the client was told of a change to its notifications. Index: primary key. Rows: (1) if the key was
# free.
KEEP: Final = """
INSERT INTO idempotency_record
    (client_id, operation, key, fingerprint, status, location, body, notification_ids, created_at)
VALUES (%(client)s, %(operation)s, %(key)s, %(fingerprint)s, %(status)s, %(location)s, %(body)s,
        %(ids)s::uuid[], now())
ON CONFLICT (client_id, operation, key) DO NOTHING
RETURNING 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A validated notification, as it will be stored."""

    id: UUID
    channel: str
    lane: str
    recipient: str
    subject: str
    body: str
    metadata: Mapping[str, object]
    priority: int
    send_at: datetime | None  # due at once where None or past; the database's clock decides
    expires_at: datetime | None
    content: Mapping[str, object] | None = None  # as notifications/content.py has it
    files: Sequence[tuple[bytes, bytes]] = ()  # digests and bytes of those that the content names
    template: str = ""  # `order-shipped@3`, where it was written by one

    @property
    def address(self) -> str:
        return suppress.address(self.channel, self.recipient, test=is_test(self.lane))


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


@dataclass(frozen=True, slots=True)
class Asked:
    """What one caller asks for: it is stored whole, or not at all."""

    notifications: Sequence[NewNotification]  # at least one
    use: Use
    answer: Answer
    correlation_id: str
    created_at: datetime
    traceparent: str = ""  # of what goes on with it, where traces are kept

    @property
    def first(self) -> UUID:
        return self.notifications[0].id

    @property
    def mark(self) -> str:
        """What the addresses of its recipients begin with: one caller's are all live, or all tests."""
        return MARK if is_test(self.notifications[0].lane) else ""

    @property
    def has_files(self) -> bool:
        return any(new.files for new in self.notifications)


@dataclass(frozen=True, slots=True)
class Record:
    """A key that was used."""

    fingerprint: bytes
    answer: Answer


@dataclass(frozen=True, slots=True)
class Inserted:
    """Of what several callers asked, by the first id of each; whose key was taken is in neither."""

    new: frozenset[UUID]
    suppressed: Mapping[UUID, Mapping[str, str]]  # address → reason of each recipient


def insert(asked: Sequence[Asked], *, key_wait: timedelta | None = None) -> Inserted:
    """Insert what was asked for with the records of its keys, in one transaction.

    Of one whose key was taken (by a committed transaction, or by another of these), or that has a suppressed recipient,
    nothing is written. `key_wait`: for another's transaction with one of the keys; None: as long as the session lets
    it.

    Raises: OperationalError with SQLSTATE 55P03 when another transaction holds a key past `key_wait`, or a whole table
    past the session's own limit; `waited_for_key` tells them apart. Then nothing was written.
    """
    given = parameters(asked, key_wait=key_wait)
    traces = any(one.traceparent for one in asked)
    if any(one.has_files for one in asked):
        files = {digest: file for one in asked for new in one.notifications for digest, file in new.files}
        rows = run(
            _form(ACCEPT_WITH_FILES, traces=traces), given | {"digests": list(files), "files": list(files.values())}
        )
    elif suppress.any_in({one.mark + new.channel for one in asked for new in one.notifications}):
        rows = run(_form(ACCEPT_LOOKING, traces=traces), given)
    else:
        labeled = any(new.metadata for one in asked for new in one.notifications)
        rows = run(_form(ACCEPT_LABELED if labeled else ACCEPT, traces=traces), given)
    return Inserted(
        frozenset(first for first, suppressed in rows if suppressed is None),
        {
            first: {address: reason for reason, _, address in (each.partition(" ") for each in json.loads(suppressed))}
            for first, suppressed in rows
            if suppressed
        },
    )


def _form(accepting: LiteralString, *, traces: bool) -> LiteralString:
    return _TRACED[accepting] if traces else accepting


def parameters(asked: Sequence[Asked], *, key_wait: timedelta | None = None) -> dict[str, object]:
    """Of ACCEPT."""
    # In one order everywhere, so that two transactions with the same keys never wait for each other.
    ordered = sorted(asked, key=_key) if len(asked) > 1 else asked
    return {
        "asked": json.dumps([_as_json(one) for one in ordered], ensure_ascii=False),
        "key_wait": None if key_wait is None else f"{key_wait / timedelta(milliseconds=1):.0f}ms",
    }


def _key(asked: Asked) -> tuple[int, str, str]:
    return asked.use.client_id, asked.use.operation, asked.use.key or ""


def _as_json(asked: Asked) -> dict[str, object]:
    use, answer = asked.use, asked.answer
    notifications = [
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
            **({"content": new.content} if new.content else {}),
            **({"template": new.template} if new.template else {}),
        }
        for new in asked.notifications
    ]
    return {
        "ids": [new["id"] for new in notifications],
        "client": use.client_id,
        "operation": use.operation,
        "key": use.key,
        "fingerprint": use.fingerprint.hex(),
        "status": answer.status,
        "location": answer.location,
        "answer": answer.body.decode(),
        "correlation_id": asked.correlation_id,
        "created_at": asked.created_at.isoformat(),
        **({"traceparent": asked.traceparent} if asked.traceparent else {}),
        "notifications": notifications,
        "addresses": [f"{asked.mark}{new.channel}:{new.recipient}" for new in asked.notifications],
    }


def keep(use: Use, answer: Answer, ids: Collection[UUID]) -> bool:
    """Keep the answer under its key, in the caller's transaction; False where the key was taken."""
    return bool(
        run(
            KEEP,
            {
                "client": use.client_id,
                "operation": use.operation,
                "key": use.key,
                "fingerprint": use.fingerprint,
                "status": answer.status,
                "location": answer.location,
                "body": answer.body,
                "ids": list(ids),
            },
        )
    )


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
