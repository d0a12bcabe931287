"""The newest attempts: of the notifications that were accepted last, in which order their key is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.http import QueryDict
from django.utils.safestring import SafeString

from notifications.admin import finding
from notifications.admin.base import label
from notifications.admin.story import COLOURS
from notifications.models import Attempt, Notification

LOOK: Final = 5_000  # attempts that a page looks at in search of those it shows
SIZE: Final = 50
_WORDS: Final = ("outcome", "code", "backend", "channel")


@dataclass(frozen=True, slots=True)
class Asked:
    outcome: str = ""
    code: str = ""
    backend: str = ""
    channel: str = ""
    before: UUID | None = None  # a notification

    @classmethod
    def of(cls, query: QueryDict) -> Asked:
        """Raises: finding.Unclear."""
        words = {name: query.get(name, "").strip() for name in _WORDS}
        return cls(**words, before=finding.cursor(query, "before"))

    def link(self, before: UUID) -> str:
        return "?" + urlencode({name: value for name, value in {**asdict(self), "before": before}.items() if value})


@dataclass(frozen=True, slots=True)
class Line:
    attempt: Attempt
    notification: Notification | None  # None: it was purged

    @property
    def outcome(self) -> SafeString:
        return label(self.attempt.outcome.replace("_", " "), COLOURS.get(self.attempt.outcome, ""))


@dataclass(frozen=True, slots=True)
class Page:
    lines: list[Line]
    older: str  # a link; "" at the end


def page(asked: Asked) -> Page:
    attempts = Attempt.objects.order_by("-notification_id", "-number")
    if asked.before:
        attempts = attempts.filter(notification_id__lt=asked.before)
    edge = next(iter(attempts.values_list("notification_id", flat=True)[LOOK - 1 : LOOK]), None)
    if edge is not None:
        attempts = attempts.filter(notification_id__gte=edge)
    for name in ("outcome", "code", "backend"):
        if value := getattr(asked, name):
            attempts = attempts.filter(**{name: value})
    if asked.channel:
        attempts = attempts.filter(notification__channel=asked.channel)
    found = list(attempts[: SIZE + 1])
    notifications = (
        Notification.objects.select_related("client")
        .defer("body", "content")
        .in_bulk({attempt.notification_id for attempt in found})
    )
    more = len(found) > SIZE
    shown = found[:SIZE]
    if more and shown[0].notification_id != shown[-1].notification_id == found[SIZE].notification_id:
        # A page begins with a notification: the last one's attempts would be torn apart, and those left behind missed.
        shown = [attempt for attempt in shown if attempt.notification_id != shown[-1].notification_id]
    behind = shown[-1].notification_id if more else edge
    lines = [Line(attempt, notifications.get(attempt.notification_id)) for attempt in shown]
    return Page(lines, asked.link(behind) if behind else "")
