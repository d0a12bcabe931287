"""Which failed and unknown notifications an operator means, counted before and returned to pending in batches after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from notifications.models import Notification
from notifications.outbox.suppressed import SUPPRESSED
from notifications.selection import Selection
from notifications.states import Event, Status, sources

BATCH: Final = 500  # ids in one `services.resend`: one short transaction
REPLAYABLE: Final = sources(Event.REPLAY)
_ALIVE: Final = Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
# Sending it again may reach the recipient twice.
_DOUBTFUL: Final = Q(status=Status.UNKNOWN) | Q(possible_duplicate=True)


@dataclass(frozen=True, slots=True)
class Group:
    """Those of one channel, status and error code."""

    channel: str
    status: Status
    error_code: str
    count: int  # all of them
    expired: int  # left alone: they would only fail again
    suppressed: int  # left alone, too: not expired, but nothing is sent to their recipients
    doubtful: int  # of the rest: may reach the recipient twice


def plan(selection: Selection) -> list[Group]:
    """What a selection holds now, by channel, status and error code; counted by the database."""
    return [
        Group(channel, Status(status), error_code, *counts)
        for rows in _selected(selection)
        for channel, status, error_code, *counts in rows.order_by("channel", "status", "error_code")
        .values_list("channel", "status", "error_code")
        .annotate(
            all=Count("pk"),
            expired=Count("pk", filter=~_ALIVE),
            suppressed=Count("pk", filter=_ALIVE & Q(SUPPRESSED)),
            doubtful=Count("pk", filter=_ALIVE & ~Q(SUPPRESSED) & _DOUBTFUL),
        )
    ]


def batches(selection: Selection, size: int = BATCH) -> Iterator[list[UUID]]:
    """The ids that can be replayed, oldest first within each channel, `size` at most in memory at a time."""
    for rows in _selected(selection):
        yield from id_batches(rows, size)


def id_batches(rows: QuerySet[Notification], size: int = BATCH) -> Iterator[list[UUID]]:
    """Of these rows the ids that can be replayed, in order; each is yielded once, whatever becomes of it meanwhile."""
    rows = rows.filter(_ALIVE, ~SUPPRESSED, redacted_at__isnull=True, status__in=REPLAYABLE).order_by("id")
    after = UUID(int=0)
    while ids := list(rows.filter(id__gt=after).values_list("id", flat=True)[:size]):
        yield ids
        after = ids[-1]


def channels_in_need() -> list[str]:
    """The channels that hold anything failed or unknown, by a few steps in the attention index."""
    found: list[str] = []
    rows = Notification.objects.filter(status__in=REPLAYABLE).order_by("channel").values_list("channel", flat=True)
    while (channel := rows.filter(channel__gt=found[-1] if found else "").first()) is not None:
        found.append(channel)
    return found


def _selected(selection: Selection) -> Iterator[QuerySet[Notification]]:
    """Querysets that each walk the attention index (channel, id), or the primary key where ids are given."""
    if selection.ids:
        yield selection.rows()
        return
    for channel in sorted(selection.channels) or channels_in_need():
        yield replace(selection, channels=frozenset({channel})).rows()
