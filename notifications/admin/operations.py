"""Resend and cancel, one notification or many: asked before where it cannot be undone, and noted twice.

The outbox writes an event with the user's name for each; the admin's own log has it too, in the same transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from notifications import services
from notifications.admin.base import note
from notifications.admin.paging import MOST
from notifications.models import Notification
from notifications.outbox.suppressed import SUPPRESSED
from notifications.replay import BATCH
from notifications.states import Event, Status, sources


@dataclass(frozen=True, slots=True)
class Operation:
    """An act on notifications; `act` is safe to repeat and leaves alone what it may not touch."""

    name: str
    done: str  # past participle
    event: Event
    act: Callable[..., set[UUID]]
    warning: str = ""

    def refusal(self, notification: Notification, *, suppressed: bool) -> str:
        """Why this one is left alone; "" where it is not. `suppressed`: whether its recipient is."""
        if Status(notification.status) not in sources(self.event):
            return notification.status
        if self.event is Event.REPLAY and _expired(notification.expires_at):
            return "expired"
        if self.event is Event.REPLAY and notification.redacted_at is not None:
            return "redacted"
        if self.event is Event.REPLAY and suppressed:
            return "suppressed"
        return ""


RESEND: Final = Operation("resend", "resent", Event.REPLAY, services.resend)
CANCEL: Final = Operation(
    "cancel", "canceled", Event.CANCEL, services.cancel, "A canceled notification is never sent, and cannot be resent."
)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an operation on a set of notifications would do."""

    chosen: int  # how many it will touch
    doubtful: int  # of them, how many may have been sent already
    left_alone: dict[str, int]  # why → how many
    beyond: bool  # there are more than MOST; the rest is not touched


def forecast(operation: Operation, rows: QuerySet[Notification]) -> Forecast:
    chosen = doubtful = 0
    left_alone: Counter[str] = Counter()
    narrow = rows.select_related(None).only("id", "status", "expires_at", "possible_duplicate", "redacted_at")
    if operation.event is Event.REPLAY:
        narrow = narrow.annotate(suppressed=SUPPRESSED)
    for number, row in enumerate(narrow.order_by("-id")[: MOST + 1]):
        if number == MOST:
            return Forecast(chosen, doubtful, dict(left_alone), beyond=True)
        if refusal := operation.refusal(row, suppressed=getattr(row, "suppressed", False)):
            left_alone[refusal] += 1
        else:
            chosen += 1
            doubtful += is_doubtful(row)
    return Forecast(chosen, doubtful, dict(left_alone), beyond=False)


def is_doubtful(notification: Notification) -> bool:
    """Whether sending it again may reach the recipient twice."""
    return notification.status == Status.UNKNOWN or notification.possible_duplicate


def perform(operation: Operation, ids: Collection[UUID], request: HttpRequest) -> set[UUID]:
    """Act on up to BATCH notifications in one transaction with its audit; the ids that were touched."""
    with transaction.atomic():
        touched = operation.act(ids, actor=request.user.get_username(), detail="admin")
        note(request, [Notification(id=id_) for id_ in sorted(touched)], f"{operation.done.capitalize()}.")
    return touched


def perform_all(operation: Operation, rows: QuerySet[Notification], request: HttpRequest) -> int:
    """The same for the newest MOST of these rows, a transaction for each batch; how many were touched."""
    ids = list(rows.order_by("-id").values_list("id", flat=True)[:MOST])
    starts = range(0, len(ids), BATCH)
    return sum(len(perform(operation, ids[first : first + BATCH], request)) for first in starts)


def _expired(expires_at: datetime | None) -> bool:
    return expires_at is not None and expires_at <= timezone.now()
