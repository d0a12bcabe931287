"""Which failed and unknown notifications an operator means, and to whom they go: counted before anything is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import phonenumbers
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from notifications.models import Notification
from notifications.outbox.suppressed import SUPPRESSED
from notifications.selection import Selection
from notifications.states import Event, Status, sources
from notifications.walking import channels_in_need

REPLAYABLE: Final = sources(Event.REPLAY)
PAGE: Final = 10_000  # rows: a few megabytes, and the round trips do not count beside what is done with each
_KEPT: Final = Q(redacted_at__isnull=True)
_ALIVE: Final = _KEPT & (Q(expires_at__isnull=True) | Q(expires_at__gt=Now()))
# Sending it again may reach the recipient twice.
_DOUBTFUL: Final = Q(status=Status.UNKNOWN) | Q(possible_duplicate=True)


@dataclass(frozen=True, slots=True)
class Group:
    """Those of one channel, status and error code."""

    channel: str
    status: Status
    error_code: str
    count: int  # all of them
    redacted: int  # left alone: nobody knows what they said
    expired: int  # left alone, too: not redacted, but they would only fail again
    suppressed: int  # likewise: neither of these, but nothing is sent to their recipients
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
            redacted=Count("pk", filter=~_KEPT),
            expired=Count("pk", filter=_KEPT & ~_ALIVE),
            suppressed=Count("pk", filter=_ALIVE & Q(SUPPRESSED)),
            doubtful=Count("pk", filter=_ALIVE & ~Q(SUPPRESSED) & _DOUBTFUL),
        )
    ]


def replayable(ids: Collection[UUID]) -> list[UUID]:
    """Those of these that can be replayed now."""
    rows = Notification.objects.filter(_ALIVE, ~SUPPRESSED, id__in=ids, status__in=REPLAYABLE)
    return list(rows.order_by("id").values_list("id", flat=True))


def destinations(selection: Selection) -> list[tuple[str, int]]:
    """To whom those go that can be replayed: domains of mails, countries of numbers, names of webhooks; most first."""
    found: Counter[str] = Counter()
    for rows in _selected(selection):
        for channel, recipient in _walked(rows.filter(_ALIVE, ~SUPPRESSED)):
            found[destination(channel, recipient)] += 1
    return found.most_common()


def _walked(rows: QuerySet[Notification]) -> Iterator[tuple[str, str]]:
    """Channel and recipient of each, by pages: there may be millions, and a pooler carries no cursor between them."""
    behind = rows.order_by("id")
    while page := list(behind.values_list("id", "channel", "recipient")[:PAGE]):
        yield from (row[1:] for row in page)
        behind = rows.filter(id__gt=page[-1][0]).order_by("id")


def destination(channel: str, recipient: str) -> str:
    """What many recipients have in common, and names none of them."""
    if "@" in recipient:
        return f"{channel} {recipient.rpartition('@')[2].lower()}"
    if recipient.startswith("+"):
        try:
            return f"{channel} +{phonenumbers.parse(recipient).country_code}"
        except phonenumbers.NumberParseException:
            return f"{channel} another number"
    return f"{channel} {recipient}" if channel != "apprise" else channel


def sample(selection: Selection, size: int = 10) -> list[Notification]:
    """The newest of those that can be replayed."""
    found: list[Notification] = []
    for rows in _selected(selection):
        found += rows.filter(_ALIVE, ~SUPPRESSED).order_by("-id")[:size]
    return sorted(found, key=lambda row: row.id, reverse=True)[:size]


def _selected(selection: Selection) -> Iterator[QuerySet[Notification]]:
    """Querysets that each walk the attention index (channel, id), or the primary key where ids are given."""
    if selection.ids:
        yield selection.rows()
        return
    for channel in sorted(selection.channels) or channels_in_need():
        yield replace(selection, channels=frozenset({channel})).rows()
