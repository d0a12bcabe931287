"""What operators and providers decide of notifications that were accepted, and keys for clients."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import transaction

from channels.contract import DeliveryReport
from channels.registry import Channel
from notifications import counting, credentials, nudge
from notifications.credentials import Scope
from notifications.models import ApiKey, Client, Notification
from notifications.outbox import operate, receipts, recover, suppress
from notifications.outbox.suppress import SUPPRESSING, Suppressed
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


def release(ids: Collection[UUID], *, actor: str, detail: str = "") -> set[UUID]:
    """Take notifications away from workers that are sending them, however alive those are; the ids that were.

    What was not begun is pending again; the rest is treated as when its worker dies: sent again and marked, or unknown.
    What the worker still finds out comes too late and changes nothing. Others are left alone. Safe to repeat.
    """
    with transaction.atomic():
        held = Notification.objects.filter(id__in=ids, status=Status.SENDING).order_by("id")
        claims = list(held.values_list("id", "attempt", "worker_id"))
        taken = recover.take_back(
            {worker for _, _, worker in claims if worker},
            recover.policies(),
            detail="taken back by an operator",
            only=[(id_, attempt) for id_, attempt, _ in claims],
            by=actor,
            note=detail,
        )
    for lane in {each.lane for each in taken}:
        transaction.on_commit(partial(nudge.request, lane))
    return {each.id for each in taken}


def reschedule(ids: Collection[UUID], *, send_at: datetime, actor: str, detail: str = "") -> set[UUID]:
    """Give pending notifications another time; the ids of those that have it. Safe to repeat."""
    rescheduled = operate.reschedule(ids, send_at=send_at, actor=actor, detail=detail)
    for lane in set(rescheduled.values()):
        transaction.on_commit(partial(nudge.request, lane, at=send_at))
    return set(rescheduled)


def receive_report(known: Channel, notification_id: UUID, attempt: int, report: DeliveryReport) -> Status | None:
    """Store and apply a provider's later word, with whom it says to send nothing more; the new status, or None where
    nothing changed. Safe to repeat.
    """
    with transaction.atomic():
        # Before the notification's row is locked, in which order a worker does it as well.
        _suppress_refused(known, notification_id, report)
        settled = receipts.receive(
            notification_id, attempt=attempt, provider_id=report.provider_id, progress=report.progress, code=report.code
        )
    if settled is not None:
        transaction.on_commit(partial(counting.reported, known.name, settled, report.code))
        log.info(
            "receipt.applied",
            channel=known.name,
            notification_id=str(notification_id),
            attempt=attempt,
            status=settled.value,
            code=report.code,
        )
    return settled


def _suppress_refused(known: Channel, notification_id: UUID, report: DeliveryReport) -> None:
    """Put the recipient on the list, where what the provider could not deliver says no to all for it."""
    if report.refuses not in SUPPRESSING:
        return
    reported = Notification.objects.filter(pk=notification_id, channel=known.name).only("channel", "recipient", "lane")
    for notification in reported:
        refused = Suppressed(
            channel=known.name,
            recipient=notification.recipient,
            test=notification.is_test,
            reason=SUPPRESSING[report.refuses],
            detail="reported by its provider, which had taken the message before",
            source=report.code,
            notification_id=notification_id,
            created_by=known.backend.name,
        )
        if suppress.add([refused]):
            transaction.on_commit(partial(_log_suppressed, refused))


def _log_suppressed(refused: Suppressed) -> None:
    log.warning(
        "recipient.suppressed",
        channel=refused.channel,
        test=refused.test,
        reason=refused.reason.value,
        code=refused.source,
        notification_id=str(refused.notification_id),
    )


class MadeKey(NamedTuple):
    row: ApiKey
    text: str


def create_api_key(
    client: Client,
    *,
    name: str = "",
    scopes: Collection[Scope] = tuple(Scope),
    expires_at: datetime | None = None,
    test: bool = False,
) -> MadeKey:
    """Make a key for a client; its text cannot be had again. `test`: it reaches the sandbox only."""
    new = credentials.new_key(test=test)
    made = ApiKey.objects.create(
        client=client,
        name=name,
        scopes=[scope.value for scope in Scope if scope in scopes],
        prefix=new.prefix,
        digest=new.digest,
        is_test=test,
        expires_at=expires_at,
    )
    return MadeKey(made, new.text)
