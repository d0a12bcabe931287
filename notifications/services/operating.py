"""What operators and providers decide of notifications that were accepted, and keys for clients."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog
from django.db import transaction

from channels.contract import DeliveryReport
from notifications import credentials, nudge
from notifications.credentials import Scope
from notifications.models import ApiKey, Client
from notifications.outbox import operate, receipts
from notifications.states import Status

log = structlog.get_logger(__name__)


def resend(ids: Collection[UUID], *, actor: str, detail: str = "") -> set[UUID]:
    """Return failed and unknown notifications to pending; the ids that were. Others are left alone. Safe to repeat."""
    replayed = operate.replay(ids, actor=actor, detail=detail)
    for lane in set(replayed.values()):
        transaction.on_commit(partial(nudge.request, lane))
    return set(replayed)


def cancel(ids: Collection[UUID], *, actor: str, detail: str = "") -> set[UUID]:
    """Cancel pending, failed and unknown notifications; the ids that were. Safe to repeat."""
    return operate.cancel(ids, actor=actor, detail=detail)


def reschedule(ids: Collection[UUID], *, send_at: datetime, actor: str, detail: str = "") -> set[UUID]:
    """Give pending notifications another time; the ids of those that have it. Safe to repeat."""
    rescheduled = operate.reschedule(ids, send_at=send_at, actor=actor, detail=detail)
    for lane in set(rescheduled.values()):
        transaction.on_commit(partial(nudge.request, lane, at=send_at))
    return set(rescheduled)


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


def create_api_key(
    client: Client,
    *,
    name: str = "",
    scopes: Collection[Scope] = tuple(Scope),
    expires_at: datetime | None = None,
    test: bool = False,
) -> str:
    """Make a key for a client and return its text, which cannot be had again. `test`: it reaches the sandbox only."""
    new = credentials.new_key(test=test)
    ApiKey.objects.create(
        client=client,
        name=name,
        scopes=[scope.value for scope in Scope if scope in scopes],
        prefix=new.prefix,
        digest=new.digest,
        is_test=test,
        expires_at=expires_at,
    )
    return new.text
