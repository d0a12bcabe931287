"""What can be asked of the outbox: the same for the REST face, the admin, commands and other apps of the database.

In-process callers use `accept` inside their own `transaction.atomic()`: their rows and the notification commit together
or vanish together. READ COMMITTED (Django's default) is required; callers that accept under several keys in one
transaction do so in sorted order, or two of them can wait for each other.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from django.db import connection, transaction
from uuid_utils.compat import uuid7

from channels.contract import DeliveryReport
from channels.registry import Channel
from notifications import credentials, intake, nudge
from notifications.intake import NotificationRequest, Problem, Refused
from notifications.models import ApiKey, Client
from notifications.outbox import accept as outbox
from notifications.outbox import operate, receipts
from notifications.outbox.accept import Answer
from notifications.outbox.statement import sqlstate
from notifications.states import Status

NOTIFICATIONS_PATH: Final = "/api/v1/notifications"
IN_PROCESS: Final = "accept"  # the operation of callers without a method and a path
INSERT_TRIES: Final = 3  # a key can vanish between insert and read: its transaction rolled back, or it was purged
_LOCK_NOT_AVAILABLE: Final = "55P03"
# Connection trouble, out of resources, shutting down, read-only (a standby), lock, deadlock: not the request's fault.
_UNAVAILABLE: Final = ("08", "53", "57", "58", "25006", "55", "40")

__all__ = [
    "Accepted",
    "KeyInUse",
    "KeyReused",
    "NotificationRequest",
    "Problem",
    "Refused",
    "Unavailable",
    "accept",
    "cancel",
    "create_api_key",
    "receive_report",
    "replay_answer",
    "resend",
]

log = structlog.get_logger(__name__)


class KeyReused(Exception):
    """Raised when the key was used for a different request."""


class KeyInUse(Exception):
    """Raised when another request with this key is still in flight after a second."""


class Unavailable(Exception):
    """Raised when the database cannot say: try again with the same key. Whether it was accepted may be unknown."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accepted request, byte for byte the same at every replay of its key."""

    status: int
    location: str
    body: bytes
    replayed: bool

    @property
    def notification_id(self) -> UUID:
        return UUID(json.loads(self.body)["id"])


def accept(
    client: Client,
    request: NotificationRequest,
    *,
    key: str | None,
    operation: str = IN_PROCESS,
    fingerprint: bytes | None = None,
    correlation_id: str = "",
) -> Accepted:
    """Store a notification durably, once for each key, and wake a worker after the commit.

    Outside a transaction it is committed when this returns; inside one, with the caller's own rows. `key`: up to 255
    printable ASCII characters, or None for no idempotency. `fingerprint`: 32 bytes; None for the request's own.

    Raises: Refused, KeyReused, KeyInUse, Unavailable. In a transaction the caller must let the last two roll it back.
    """
    known, recipient = intake.validated(request)
    new, answer = _prepared(client, request, known, recipient, key=key, correlation_id=correlation_id)
    fingerprint = request.fingerprint() if fingerprint is None else fingerprint
    # In a caller's transaction the wait for another's key is the caller's to bound.
    key_wait = None if connection.in_atomic_block else outbox.KEY_WAIT
    try:
        for _ in range(INSERT_TRIES):
            if outbox.insert(new, answer, operation=operation, key=key, fingerprint=fingerprint, key_wait=key_wait):
                if request.send_at is None or request.send_at <= new.created_at:
                    transaction.on_commit(partial(nudge.request, new.lane))
                return Accepted(answer.status, answer.location, answer.body, replayed=False)
            if key is not None and (found := _replayed(client, operation, key, fingerprint)):
                return found
    except DatabaseError as error:
        raise _translated(error) from error
    raise Unavailable("the key's record came and went; a transaction at READ COMMITTED would have seen it")


def replay_answer(client: Client, *, operation: str, key: str, fingerprint: bytes) -> Accepted | None:
    """What this very request was answered before, if it was; None where the key is free or was used otherwise.

    For requests that are no longer valid: what was accepted stays accepted. Raises: Unavailable.
    """
    try:
        return _replayed(client, operation, key, fingerprint)
    except KeyReused:
        return None
    except DatabaseError as error:
        raise _translated(error) from error


def resend(ids: Collection[UUID], *, actor: str, detail: str = "") -> set[UUID]:
    """Return failed and unknown notifications to pending; the ids that were. Others are left alone. Safe to repeat."""
    replayed = operate.replay(ids, actor=actor, detail=detail)
    for lane in set(replayed.values()):
        transaction.on_commit(partial(nudge.request, lane))
    return set(replayed)


def cancel(ids: Collection[UUID], *, actor: str, detail: str = "") -> set[UUID]:
    """Cancel pending, failed and unknown notifications; the ids that were. Safe to repeat."""
    return operate.cancel(ids, actor=actor, detail=detail)


def receive_report(channel: str, notification_id: UUID, attempt: int, report: DeliveryReport) -> Status | None:
    """Store and apply a provider's later word; the new status, or None where nothing changed. Safe to repeat."""
    settled = receipts.receive(
        notification_id, attempt=attempt, provider_id=report.provider_id, progress=report.progress, code=report.code
    )
    if settled is not None:
        log.info(
            "receipt.applied",
            channel=channel,
            notification_id=str(notification_id),
            attempt=attempt,
            status=settled.value,
            code=report.code,
        )
    return settled


def create_api_key(client: Client, *, name: str = "", expires_at: datetime | None = None) -> str:
    """Make a key for a client and return its text, which cannot be had again."""
    new = credentials.new_key()
    ApiKey.objects.create(client=client, name=name, prefix=new.prefix, digest=new.digest, expires_at=expires_at)
    return new.text


def _prepared(
    client: Client,
    request: NotificationRequest,
    known: Channel,
    recipient: str,
    *,
    key: str | None,
    correlation_id: str,
) -> tuple[outbox.NewNotification, Answer]:
    id_ = uuid7()
    created_at = datetime.now(UTC)
    new = outbox.NewNotification(
        id=id_,
        client_id=client.pk,
        channel=known.name,
        lane=known.lane(recipient),
        recipient=recipient,
        subject=request.subject,
        body=request.message,
        metadata=dict(request.metadata),
        priority=request.priority.value,
        send_at=request.send_at,
        expires_at=request.expires_at,
        correlation_id=correlation_id,
        created_at=created_at,
    )
    location = f"{NOTIFICATIONS_PATH}/{id_}"
    body = {
        "id": str(id_),
        "channel": known.name,
        "to": recipient,
        "status": Status.PENDING.value,
        "created_at": created_at.isoformat().replace("+00:00", "Z"),
        "idempotency_key": key,
        "links": {"self": location},
    }
    return new, Answer(HTTPStatus.ACCEPTED, location, json.dumps(body, ensure_ascii=False).encode())


def _replayed(client: Client, operation: str, key: str, fingerprint: bytes) -> Accepted | None:
    record = outbox.read_record(client.pk, operation, key)
    if record is None:
        return None
    if record.fingerprint != fingerprint:
        raise KeyReused("this key was used for a different request")
    return Accepted(record.answer.status, record.answer.location, record.answer.body, replayed=True)


def _translated(error: DatabaseError) -> Exception:
    state = sqlstate(error)
    if state == _LOCK_NOT_AVAILABLE and outbox.waited_for_key(error):
        return KeyInUse("another request with this key is in flight")
    if not state or state.startswith(_UNAVAILABLE):
        log.warning("database.unavailable", error=type(error).__name__, sqlstate=state)
        return Unavailable("the database did not answer")
    return error
