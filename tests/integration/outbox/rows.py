"""Rows as the outbox itself writes them, for tests of its edges."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone
from uuid_utils.compat import uuid7

from notifications import retry
from notifications.models import Attempt, Notification, Worker
from notifications.outbox.accept import Answer, Asked, NewNotification, Use, insert
from notifications.outbox.claim import Claim, claim
from notifications.outbox.record import Recorded, Result, record
from notifications.outbox.recover import Policy
from notifications.states import Outcome

RESEND = {
    "slack": Policy("slack_webhook", hold_unknown=False),
    "slack@spare": Policy("spare_slack", hold_unknown=False),
    "sms": Policy("twilio_sms", hold_unknown=True),
    "mail": Policy("keyed", hold_unknown=True, deduplicates_for=timedelta(hours=3)),
}
ANSWER = Answer(202, "/somewhere", b"{}")


def asked(
    *,
    key: str | None = None,
    lane: str = "slack:ops",
    client_id: int = 1,
    correlation_id: str = "c-1",
    created_at: datetime | None = None,
    **fields: Any,
) -> Asked:
    new = NewNotification(
        **{
            "id": uuid7(),
            "channel": lane.partition(":")[0],
            "lane": lane,
            "recipient": "ops",
            "subject": "",
            "body": "hello",
            "metadata": {},
            "priority": 1,
            "send_at": None,
            "expires_at": None,
            **fields,
        }
    )
    use = Use(client_id, "accept", key, b"f" * 32)
    return Asked([new], use, ANSWER, correlation_id, created_at or datetime.now(UTC))


def accepted(**fields: Any) -> UUID:
    """As `asked`."""
    one = asked(**fields)
    assert insert([one]).new == {one.first}
    return one.first


def worker() -> UUID:
    return Worker.objects.create(id=uuid4(), host=socket.gethostname(), pid=1, started_at=timezone.now()).id


def claimed(worker_id: UUID, *, lane: str = "slack:ops", batch: int = 10, started: bool = True) -> list[Claim]:
    return claim(lane, worker_id=worker_id, batch=batch, started=started)


def result(of: Claim, outcome: Outcome, *, hold: bool = False, **fields: Any) -> Result:
    now = monotonic()
    return Result(
        **{
            "claim": of,
            "outcome": outcome,
            "decision": retry.decide(outcome, tries=of.tries, hold_unknown=hold),
            "backend": "slack_webhook",
            "started": now - 0.2,
            "finished": now - 0.1,
            **fields,
        }
    )


def recorded(*results: Result, next_claim: Claim | None = None) -> Recorded:
    return record(results, now=monotonic(), next_claims=[next_claim] if next_claim else [])


def row(id_: UUID) -> Notification:
    return Notification.objects.get(pk=id_)


def outcomes(id_: UUID) -> list[tuple[int, str, str, bool]]:
    """(number, outcome, late outcome, possible duplicate) of each attempt."""
    rows = Attempt.objects.filter(notification_id=id_).order_by("number")
    return [(a.number, a.outcome, a.late_outcome, a.possible_duplicate) for a in rows]
