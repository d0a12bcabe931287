"""A request becomes a notification, or many at once: validated, stored under its key, answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from django.db import Error as DatabaseError
from django.db import transaction
from uuid_utils.compat import uuid7

from channels.registry import is_test
from notifications import content as content_of
from notifications import counting, idempotency, intake, modes, nudge
from notifications.intake import NotificationRequest, Problem, Refused
from notifications.models import Client
from notifications.outbox.accept import Answer, Asked, NewNotification, Use
from notifications.services.errors import translated
from notifications.services.rendering import rendered
from notifications.services.storing import Accepted, Suppressed, replayed, stored
from notifications.states import Status
from notifications.templating import MOST_STEPS_IN_BATCH, MOST_WRITTEN_IN_BATCH, Allowance

NOTIFICATIONS_PATH: Final = "/api/v1/notifications"
IN_PROCESS: Final = "accept"  # the operation of callers without a method and a path
MOST_IN_BATCH: Final = 1000
MOST_PROBLEMS: Final = 50  # named of one batch: whoever has more to mend has made the same mistake many times


def accept(
    client: Client,
    request: NotificationRequest,
    *,
    key: str | None,
    operation: str = IN_PROCESS,
    fingerprint: bytes | None = None,
    correlation_id: str = "",
    test: bool = False,
) -> Accepted:
    """Store a notification durably, once for each key, and wake a worker after the commit.

    Outside a transaction it is committed when this returns; inside one, with the caller's own rows. `key`: up to 255
    printable ASCII characters, or None for no idempotency. `fingerprint`: 32 bytes; None for the request's own. `test`:
    deliver it to the sandbox only; keys of tests and of live requests do not meet.

    Raises: Refused, NoSandbox, InvalidKey, KeyReused, KeyInUse, Unavailable. In a transaction the caller must let the
    last two roll it back.
    """
    _require(client, key)
    now = datetime.now(UTC)
    new = _new(request, test=test)
    intake.require_correlation_id(correlation_id)
    shown = {**_shown(new, _moment(now)), "idempotency_key": key}
    answer = Answer(HTTPStatus.ACCEPTED, shown["links"]["self"], _json(shown))
    fingerprint = request.fingerprint() if fingerprint is None else fingerprint
    use = Use(client.pk, modes.operation(operation, test=test), key, fingerprint)
    return _stored(Asked([new], use, answer, correlation_id, now), ["to"])


def accept_batch(
    client: Client,
    requests: Sequence[NotificationRequest],
    *,
    key: str | None,
    operation: str = IN_PROCESS,
    fingerprint: bytes | None = None,
    correlation_id: str = "",
    test: bool = False,
) -> Accepted:
    """The same for up to MOST_IN_BATCH at once under one key: all are stored, or none.

    Raises: Refused, naming each field as `notifications[3].to`; and as above.
    """
    _require(client, key)
    intake.require_correlation_id(correlation_id)
    now = datetime.now(UTC)
    news: list[NewNotification] = []
    problems: list[Problem] = []
    allowance = Allowance(MOST_STEPS_IN_BATCH, MOST_WRITTEN_IN_BATCH)
    if not 0 < len(requests) <= MOST_IN_BATCH:
        raise Refused(Problem("notifications", "wrong_number", f"must be 1 to {MOST_IN_BATCH} notifications"))
    for place, request in enumerate(requests):
        try:
            news.append(_new(request, test=test, allowance=allowance))
        except Refused as error:
            problems += [replace(each, field=f"notifications[{place}].{each.field}") for each in error.problems]
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise Refused(*problems[:MOST_PROBLEMS])
    created_at = _moment(now)
    shown = {"notifications": [_shown(new, created_at) for new in news], "idempotency_key": key}
    answer = Answer(HTTPStatus.ACCEPTED, "", _json(shown))
    if fingerprint is None:
        fingerprint = idempotency.fingerprint([request.fingerprint().hex() for request in requests])
    use = Use(client.pk, modes.operation(operation, test=test), key, fingerprint)
    fields = (f"notifications[{place}].to" for place in range(len(news)))
    return _stored(Asked(news, use, answer, correlation_id, now), fields)


def replay_answer(
    client: Client, *, operation: str, key: str, fingerprint: bytes, test: bool = False
) -> Accepted | None:
    """What this very request was answered before, if it was; None where the key is free or was used otherwise.

    For requests that are no longer valid: what was accepted stays accepted. Raises: Unavailable.
    """
    try:
        found = replayed(Use(client.pk, modes.operation(operation, test=test), key, fingerprint))
    except DatabaseError as error:
        raise translated(error) from error
    if found:
        counting.replayed(found.body)
    return found


def _require(client: Client, key: str | None) -> None:
    """Raises: Refused, InvalidKey."""
    if not client.is_active:
        raise Refused(Problem("client", "client_inactive", "this client is switched off"))
    idempotency.require_key(key)


def _new(request: NotificationRequest, *, test: bool, allowance: Allowance | None = None) -> NewNotification:
    """Raises: Refused, NoSandbox, Unavailable."""
    if request.by_template:
        request = rendered(request, allowance or Allowance())
    known, recipient, content = intake.validated(request, test=test)
    kept, files = content_of.kept(content)
    return NewNotification(
        id=uuid7(),
        channel=known.name,
        lane=known.lane(recipient),
        recipient=recipient,
        subject=request.subject,
        body=request.message,
        metadata=dict(request.metadata),
        priority=request.priority.value,
        send_at=request.send_at,
        expires_at=request.expires_at,
        content=kept,
        files=files,
        template=request.template,
    )


def _suppressed(asked: Asked, fields: Iterable[str], reasons: Mapping[str, str]) -> list[Problem]:
    found = [
        Problem(field, "suppressed", f"is on the suppression list ({reasons[new.address]}): nothing is sent there")
        for field, new in zip(fields, asked.notifications, strict=True)
        if new.address in reasons
    ]
    return found[:MOST_PROBLEMS]


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
        **({"test": True} if is_test(new.lane) else {}),
        "links": {"self": f"{NOTIFICATIONS_PATH}/{name}"},
    }


def _json(shown: dict[str, Any]) -> bytes:
    return json.dumps(shown, ensure_ascii=False).encode()


def _stored(asked: Asked, fields: Iterable[str]) -> Accepted:
    """`fields`: what the recipient of each is called. Raises: Refused; as `stored`."""
    try:
        accepted = stored(asked)
    except Suppressed as error:
        raise Refused(*_suppressed(asked, fields, error.reasons)) from None
    if accepted.replayed:
        counting.replayed(accepted.body)
    else:
        transaction.on_commit(partial(counting.accepted, [new.lane for new in asked.notifications]))
        for lane, send_at in {(new.lane, new.send_at) for new in asked.notifications}:
            transaction.on_commit(partial(nudge.request, lane, at=send_at))
    return accepted
