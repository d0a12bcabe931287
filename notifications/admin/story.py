"""The timeline in an operator's words and colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from notifications.models import Notification
from notifications.states import Outcome
from notifications.timeline import Entry, timeline

# The colour of a label.
COLOURS: Final[Mapping[str, str]] = {
    Outcome.ACCEPTED: "sent",
    Outcome.PERMANENT: "failed",
    Outcome.UNEXPECTED: "failed",
    Outcome.IN_DOUBT: "unknown",
    Outcome.LOST: "unknown",
    Outcome.TRANSIENT: "pending",
    Outcome.RATE_LIMITED: "pending",
    Outcome.RELEASED: "pending",
    "claimed": "sending",
    "sending": "sending",
    "undelivered": "failed",
    "delivered": "delivered",
}
_WORDS: Final = {"sending": "under way", "taken": "taken by the provider"}


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    what: str
    word: str  # shown as a label
    kind: str  # its colour
    detail: str
    facts: tuple[str, ...]
    possible_duplicate: bool

    @property
    def clock(self) -> str:
        return self.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def lines(notification: Notification) -> list[Line]:
    return [
        Line(
            at=entry.at,
            what=_what(entry),
            word=_WORDS.get(entry.outcome, entry.outcome.replace("_", " ")),
            kind=COLOURS.get(entry.outcome, ""),
            detail=": ".join(filter(None, [entry.code, entry.detail])) if entry.attempt else "",
            facts=tuple(_facts(entry, notification)),
            possible_duplicate=entry.possible_duplicate,
        )
        for entry in timeline(notification)
    ]


def _what(entry: Entry) -> str:
    match entry.event:
        case "attempt":
            return f"Attempt {entry.attempt}"
        case "receipt":
            return f"Receipt for attempt {entry.attempt}"
        case "wait":
            return "Wait"
        case event:
            return event.capitalize()


def _facts(entry: Entry, notification: Notification) -> Iterator[str]:
    if entry.event == "accepted":
        yield f"from {notification.client}"
        yield f"key {notification.idempotency_key}" if notification.idempotency_key else "without a key"
    if entry.until:
        yield f"{'took ' if entry.attempt else ''}{_seconds(entry.until - entry.at)}"
    if entry.by:
        yield f"by {entry.by}"
    if entry.detail and not entry.attempt:
        yield entry.detail
    if entry.provider_id:
        yield f"provider's id {entry.provider_id}"
    if entry.late_outcome:
        yield f"later found to be {entry.late_outcome.replace('_', ' ')}"


def _seconds(duration: timedelta) -> str:
    seconds = max(0.0, duration.total_seconds())
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
