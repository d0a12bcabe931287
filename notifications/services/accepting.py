"""A request becomes a notification, or many at once: validated, stored under its key, answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import connection, transaction
from uuid_utils.compat import uuid7

from notifications import idempotency, intake, nudge
from notifications.intake import NotificationRequest, Problem, Refused
from notifications.models import Client
from notifications.outbox import accept as outbox
from notifications.outbox.accept import Answer, NewNotification, Use
from notifications.services.errors import KeyReused, Unavailable, translated
from notifications.states import Status

NOTIFICATIONS_PATH: Final = "/api/v1/notifications"
IN_PROCESS: Final = "accept"  # the operation of callers without a method and a path
MOST_IN_BATCH: Final = 1000
MOST_PROBLEMS: Final = 50  # named of one batch: whoever has more to mend has made the same mistake many times
INSERT_TRIES: Final = 3  # a key can vanish between insert and read: its transaction rolled back, or it was purged


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accepted request, byte for byte the same at every replay of its key."""

    status: int
    location: str  # "" of a batch
    body: bytes
    replayed: bool

    @property
    def notification_id(self) -> UUID:
        return UUID(json.loads(self.body)["id"])

    @property
    def notification_ids(self) -> list[UUID]:
        """Of a batch, in its order."""
        return [UUID(each["id"]) for each in json.loads(self.body)["notifications"]]


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
    new = _new(client, request, datetime.now(UTC), correlation_id)
    shown = {**_shown(new, _moment(new.created_at)), "idempotency_key": key}
    answer = Answer(HTTPStatus.ACCEPTED, shown["links"]["self"], _json(shown))
    fingerprint = request.fingerprint() if fingerprint is None else fingerprint
    return _stored(
        lambda use: outbox.insert(new, answer, use), [new], answer, _use(client, operation, key, fingerprint)
    )


def accept_batch(
    client: Client,
    requests: Sequence[NotificationRequest],
    *,
    key: str | None,
    operation: str = IN_PROCESS,
    fingerprint: bytes | None = None,
    correlation_id: str = "",
) -> Accepted:
    """The same for up to MOST_IN_BATCH at once under one key: all are stored, or none.

    Raises: Refused, naming each field as `notifications[3].to`; and as above.
    """
    now = datetime.now(UTC)
    news: list[NewNotification] = []
    problems: list[Problem] = []
    if not 0 < len(requests) <= MOST_IN_BATCH:
        raise Refused(Problem("notifications", "wrong_number", f"must be 1 to {MOST_IN_BATCH} notifications"))
    for place, request in enumerate(requests):
        try:
            news.append(_new(client, request, now, correlation_id))
        except Refused as error:
            problems += [replace(each, field=f"notifications[{place}].{each.field}") for each in error.problems]
    if problems:
        raise Refused(*problems[:MOST_PROBLEMS])
    created_at = _moment(now)
    shown = {"notifications": [_shown(new, created_at) for new in news], "idempotency_key": key}
    answer = Answer(HTTPStatus.ACCEPTED, "", _json(shown))
    if fingerprint is None:
        fingerprint = idempotency.fingerprint([request.fingerprint().hex() for request in requests])
    return _stored(
        lambda use: outbox.insert_many(news, answer, use), news, answer, _use(client, operation, key, fingerprint)
    )


def replay_answer(client: Client, *, operation: str, key: str, fingerprint: bytes) -> Accepted | None:
    """What this very request was answered before, if it was; None where the key is free or was used otherwise.

    For requests that are no longer valid: what was accepted stays accepted. Raises: Unavailable.
    """
    try:
        return _replayed(Use(client.pk, operation, key, fingerprint))
    except KeyReused:
        return None
    except DatabaseError as error:
        raise translated(error) from error


def _new(client: Client, request: NotificationRequest, now: datetime, correlation_id: str) -> NewNotification:
    """Raises: Refused."""
    known, recipient = intake.validated(request)
    return NewNotification(
        id=uuid7(),
        client_id=client.pk,
        channel=known.name,
        lane=known.lane(recipient),
        recipient=recipient,
        subject=request.subject,
        body=request.message,
        metadata=request.metadata,
        priority=request.priority.value,
        send_at=request.send_at,
        expires_at=request.expires_at,
        correlation_id=correlation_id,
        created_at=now,
    )


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _shown(new: NewNotification, created_at: str) -> dict[str, Any]:
    name = str(new.id)
    return {
        "id": name,
        "channel": new.channel,
        "to": new.recipient,
        "status": Status.PENDING.value,
        "created_at": created_at,
        "links": {"self": f"{NOTIFICATIONS_PATH}/{name}"},
    }


def _json(shown: dict[str, Any]) -> bytes:
    return json.dumps(shown, ensure_ascii=False).encode()


def _use(client: Client, operation: str, key: str | None, fingerprint: bytes) -> Use:
    # In a caller's transaction the wait for another's key is the caller's to bound.
    return Use(client.pk, operation, key, fingerprint, None if connection.in_atomic_block else outbox.KEY_WAIT)


def _stored(insert: Callable[[Use], bool], news: Sequence[NewNotification], answer: Answer, use: Use) -> Accepted:
    try:
        for _ in range(INSERT_TRIES):
            if insert(use):
                for lane in {new.lane for new in news if new.send_at is None or new.send_at <= new.created_at}:
                    transaction.on_commit(partial(nudge.request, lane))
                return Accepted(answer.status, answer.location, answer.body, replayed=False)
            if found := _replayed(use):
                return found
    except DatabaseError as error:
        raise translated(error) from error
    raise Unavailable("the key's record came and went; a transaction at READ COMMITTED would have seen it")


def _replayed(use: Use) -> Accepted | None:
    record = outbox.read_record(use)
    if record is None:
        return None
    if record.fingerprint != use.fingerprint:
        raise KeyReused("this key was used for a different request")
    return Accepted(record.answer.status, record.answer.location, record.answer.body, replayed=True)
