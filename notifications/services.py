"""What can be asked of the outbox: the same for the REST face, the admin, commands and other apps of the database.

In-process callers use `accept` inside their own `transaction.atomic()`: their rows and the notification commit together
or vanish together. READ COMMITTED (Django's default) is required; callers that accept under several keys in one
transaction do so in sorted order, or two of them can wait for each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from django.db import connection, transaction
from uuid_utils.compat import uuid7

from channels.contract import DeliveryReport, Unacceptable
from channels.registry import Channel, channels
from notifications import credentials, nudge
from notifications.models import ApiKey, Client
from notifications.outbox import accept as outbox
from notifications.outbox import operate, receipts
from notifications.outbox.accept import Answer
from notifications.outbox.statement import sqlstate
from notifications.states import Priority, Status

NOTIFICATIONS_PATH: Final = "/api/v1/notifications"
IN_PROCESS: Final = "accept"  # the operation of callers without a method and a path
FARTHEST: Final = timedelta(days=366)  # a year ahead: beyond it a date is more likely a mistake
INSERT_TRIES: Final = 3  # a key can vanish between insert and read: its transaction rolled back, or it was purged
_LOCK_NOT_AVAILABLE: Final = "55P03"
# Connection trouble, out of resources, shutting down, read-only (a standby), lock, deadlock: not the request's fault.
_UNAVAILABLE: Final = ("08", "53", "57", "58", "25006", "55", "40")

log = structlog.get_logger(__name__)


class ServiceError(Exception):
    """The base of what `accept` raises; never raised itself."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One field to mend."""

    field: str
    code: str
    detail: str


class Refused(ServiceError):
    """Raised when a request cannot become a notification; nothing was stored."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.detail}" for problem in problems))
        self.problems = problems


class KeyReused(ServiceError):
    """Raised when the key was used for a different request."""


class KeyInUse(ServiceError):
    """Raised when another request with this key is still in flight after a second."""


class Unavailable(ServiceError):
    """Raised when the database cannot say: try again with the same key. Whether it was accepted may be unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRequest:
    """What a client asks for."""

    channel: str
    message: str
    to: str = ""
    subject: str = ""
    send_at: datetime | None = None  # aware; None or past: at once
    expires_at: datetime | None = None  # aware; never sent after it
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, object] = field(default_factory=dict)

    def fingerprint(self) -> bytes:
        """SHA-256 of the canonical request, for callers that have no JSON body."""
        parts = {
            "channel": self.channel,
            "to": self.to,
            "message": self.message,
            "subject": self.subject,
            "send_at": self.send_at and self.send_at.astimezone(UTC).isoformat(),
            "expires_at": self.expires_at and self.expires_at.astimezone(UTC).isoformat(),
            "priority": self.priority.value,
            "metadata": dict(self.metadata),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).digest()


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
    known, recipient = _validated(request)
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


def _validated(request: NotificationRequest) -> tuple[Channel, str]:
    known = channels().get(request.channel)
    if known is None:
        raise Refused(Problem("channel", "unknown_channel", f"must be one of {', '.join(channels())}"))
    if not known.backend.configured:
        raise Refused(
            Problem(
                "channel",
                "channel_not_configured",
                f"{request.channel} has no provider configured on this service",
            )
        )
    try:
        recipient = known.backend.validate(to=request.to, subject=request.subject, body=request.message)
    except Unacceptable as error:
        raise Refused(Problem(error.field, error.code, error.detail)) from None
    if problem := _wrong_times(request):
        raise Refused(problem)
    return known, recipient


def _wrong_times(request: NotificationRequest) -> Problem | None:
    now = datetime.now(UTC)
    for name, moment in (("send_at", request.send_at), ("expires_at", request.expires_at)):
        if moment is not None and moment.tzinfo is None:
            return Problem(name, "timezone_missing", "must have an offset from UTC, such as Z")
    if request.send_at is not None and request.send_at > now + FARTHEST:
        return Problem("send_at", "too_far", "must be within a year")
    if request.expires_at is not None:
        if request.expires_at <= now:
            return Problem("expires_at", "in_the_past", "must be in the future")
        if request.send_at is not None and request.expires_at <= request.send_at:
            return Problem("expires_at", "before_send_at", "must be after send_at")
    return None


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
    if state == _LOCK_NOT_AVAILABLE:
        return KeyInUse("another request with this key is in flight")
    if not state or state.startswith(_UNAVAILABLE):
        log.warning("database.unavailable", error=type(error).__name__, sqlstate=state)
        return Unavailable("the database did not answer")
    return error
