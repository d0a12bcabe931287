"""Resend, cancel and release, one notification or many: asked before where it cannot be undone, and noted in the audit.

The outbox writes an event with the user's name for each. What few were chosen is done at once, and the admin's own log
has it too, in the same transaction; many, or all that match a filter, are asked for and done by a relay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
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
from notifications.models import Notification, Operation
from notifications.outbox.suppressed import SUPPRESSED
from notifications.states import Event, Status, sources

AT_ONCE: Final = 500  # as many as one transaction takes; the rest is a relay's
TOP: Final = 10  # of recipients' domains, and of recipients, on the page that asks


@dataclass(frozen=True, slots=True)
class Act:
    """On notifications; `act` is safe to repeat and leaves alone what it may not touch."""

    name: str
    done: str  # past participle
    event: Event
    act: Callable[..., set[UUID]]
    warning: str = ""

    def refusal(self, notification: Notification, *, suppressed: bool) -> str:
        """Why this one is left alone; "" where it is not. `suppressed`: whether its recipient is."""
        if Status(notification.status) not in sources(self.event):
            return notification.status
        if self.event is Event.REPLAY and notification.redacted_at is not None:
            return "redacted"
        if self.event is Event.REPLAY and _expired(notification.expires_at):
            return "expired"
        if self.event is Event.REPLAY and suppressed:
            return "suppressed"
        return ""


RESEND: Final = Act("resend", "resent", Event.REPLAY, services.resend)
CANCEL: Final = Act(
    "cancel", "canceled", Event.CANCEL, services.cancel, "A canceled notification is never sent, and cannot be resent."
)
RELEASE: Final = Act(
    "release",
    "released",
    Event.RELEASE,
    services.release,
    "Only where a worker is stuck: what it has begun may have been sent already.",
)
ACTS: Final = (RESEND, CANCEL, RELEASE)


@dataclass(slots=True)
class Forecast:
    """What an act on a set of notifications would do."""

    chosen: int = 0  # how many it will touch
    doubtful: int = 0  # of them, how many may have been sent already
    left_alone: Counter[str] = field(default_factory=Counter)  # why → how many
    channels: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    sample: list[Notification] = field(default_factory=list)
    beyond: bool = False  # there are more than MOST, which were not counted

    @property
    def top_domains(self) -> list[tuple[str, int]]:
        return self.domains.most_common(TOP)


def forecast(act: Act, rows: QuerySet[Notification]) -> Forecast:
    seen = Forecast()
    narrow = rows.select_related(None).only(
        *("id", "status", "expires_at", "possible_duplicate", "redacted_at", "channel", "recipient")
    )
    if act.event is Event.REPLAY:
        narrow = narrow.annotate(suppressed=SUPPRESSED)
    for number, row in enumerate(narrow.order_by("-id")[: MOST + 1]):
        if number == MOST:
            seen.beyond = True
        elif refusal := act.refusal(row, suppressed=getattr(row, "suppressed", False)):
            seen.left_alone[refusal] += 1
        else:
            seen.chosen += 1
            seen.doubtful += is_doubtful(row)
            seen.channels[row.channel] += 1
            if row.redacted_at is None and "@" in row.recipient:
                seen.domains[row.recipient.rpartition("@")[2].lower()] += 1
            if len(seen.sample) < TOP:
                seen.sample.append(row)
    return seen


def is_doubtful(notification: Notification) -> bool:
    """Whether sending it again may reach the recipient twice."""
    return notification.status == Status.UNKNOWN or notification.possible_duplicate


def perform(act: Act, ids: Collection[UUID], request: HttpRequest) -> set[UUID]:
    """Act on up to AT_ONCE notifications in one transaction with its audit; the ids that were touched."""
    with transaction.atomic():
        actor = request.user.get_username()
        touched = act.act(ids, actor=actor, detail="admin")
        note(request, [Notification(id=id_) for id_ in sorted(touched)], f"{act.done.capitalize()}.")
        if touched:
            subject = str(next(iter(touched))) if len(touched) == 1 else f"{len(touched)} that were selected"
            services.note(act.name, actor=actor, via=Operation.Via.ADMIN, subject=subject, touched=len(touched))
    return touched


def form_of(given: str) -> UUID | None:
    """What the page that asks has put into its form; None where it is not its own."""
    try:
        return UUID(given)
    except ValueError:
        return None


def _expired(expires_at: datetime | None) -> bool:
    return expires_at is not None and expires_at <= timezone.now()
