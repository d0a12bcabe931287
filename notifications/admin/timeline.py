"""The story of one notification: what was done to it, in order, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from django.utils import timezone

from channels.contract import Progress
from notifications.models import Attempt, Event, LaneState, Notification, Receipt, Worker
from notifications.states import Outcome, Status

LATEST: Final = 200  # of each kind: a lane that was rate limited for a day leaves thousands of attempts

_RECEIPTS = {
    Progress.TAKEN: "taken by the provider",
    Progress.UNDELIVERED: "undelivered",
    Progress.DELIVERED: "delivered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the story."""

    at: datetime
    what: str
    word: str = ""  # shown as a label
    kind: str = ""  # its colour
    detail: str = ""
    facts: tuple[str, ...] = ()
    possible_duplicate: bool = False

    @property
    def clock(self) -> str:
        return self.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next, and when if that is known."""

    what: str
    at: datetime | None = None


def timeline(notification: Notification) -> list[Entry]:
    """Everything that is known, oldest first."""
    client = f"from {notification.client}"
    key = f"key {notification.idempotency_key}" if notification.idempotency_key else "without a key"
    accepted = Entry(at=notification.created_at, what="Accepted", facts=(client, key))
    entries = [
        *map(_attempt, notification.attempts.order_by("-number")[:LATEST]),
        *map(_receipt, Receipt.objects.filter(notification=notification).order_by("-id")[:LATEST]),
        *map(_event, notification.events.order_by("-id")[:LATEST]),
        *_under_way(notification),
    ]
    # Accepted by the clock of a web server, the rest by the database's: they may disagree about what was first.
    return [accepted, *sorted(entries, key=lambda entry: entry.at)]


def next_step(notification: Notification) -> Next:
    """In words, what becomes of it and who sees to that."""
    match Status(notification.status):
        case Status.PENDING:
            return _pending(notification)
        case Status.SENDING:
            return Next("A worker is sending it. Should the worker die, another takes it back within five seconds.")
        case Status.UNKNOWN:
            return Next(
                "Nothing, by itself: nobody knows whether it was sent. A receipt of the provider settles it, or you: "
                "find out whether it arrived, then resend it (which may double it) or cancel it."
            )
        case Status.FAILED:
            if _expired(notification):
                return Next("Nothing: its life is over, so it cannot be resent.", notification.expires_at)
            return Next("Nothing, until somebody resends it.")
        case Status.SENT:
            return Next("Nothing: the provider has taken it. Where it reports delivery, its receipt will show here.")
        case Status.DELIVERED:
            return Next("Nothing: it has arrived.")
        case Status.CANCELED:
            return Next("Nothing: it was canceled and will never be sent.")
        case unreachable:
            assert_never(unreachable)


def _pending(notification: Notification) -> Next:
    now = timezone.now()
    if _expired(notification):
        return Next("It fails within seconds: its life is over.", notification.expires_at)
    if notification.due_at > now:
        what = "It is tried again" if notification.attempt else "It is sent"
        return Next(f"{what} when it is due.", notification.due_at)
    pause = LaneState.objects.filter(lane=notification.lane, paused_until__gt=now).first()
    if pause:
        return Next(f"It waits, because its lane {pause.lane} is paused ({pause.reason}).", pause.paused_until)
    if not Worker.objects.exists():
        return Next("It waits for a worker, and none is running.")
    return Next("It is due, and waits for the next free worker.")


def _expired(notification: Notification) -> bool:
    return notification.expires_at is not None and notification.expires_at <= timezone.now()


def _attempt(attempt: Attempt) -> Entry:
    facts = [f"took {_seconds(attempt.finished_at - attempt.started_at)}"]
    if attempt.backend:
        facts.append(f"by {attempt.backend}")
    if attempt.provider_id:
        facts.append(f"provider's id {attempt.provider_id}")
    if attempt.late_outcome:
        facts.append(f"later found to be {attempt.late_outcome.replace('_', ' ')}")
    return Entry(
        at=attempt.started_at,
        what=f"Attempt {attempt.number}",
        word=attempt.outcome.replace("_", " "),
        kind=_kind(Outcome(attempt.outcome)),
        detail=": ".join(filter(None, [attempt.code, attempt.detail])),
        facts=tuple(facts),
        possible_duplicate=attempt.possible_duplicate,
    )


def _under_way(notification: Notification) -> Iterator[Entry]:
    """The attempt that has no row yet: while it runs, the notification's own columns are its record."""
    if notification.claimed_at is None or notification.worker_id is None:
        return
    worker = Worker.objects.filter(id=notification.worker_id).first()
    yield Entry(
        at=notification.started_at or notification.claimed_at,
        what=f"Attempt {notification.attempt}",
        word="under way" if notification.started_at else "claimed",
        kind="sending",
        facts=(f"by worker {worker}" if worker else "by a worker that is gone",),
        possible_duplicate=notification.possible_duplicate,
    )


def _receipt(receipt: Receipt) -> Entry:
    return Entry(
        at=receipt.received_at,
        what=f"Receipt for attempt {receipt.attempt}",
        word=_RECEIPTS[Progress(receipt.rank)],
        kind={Progress.DELIVERED: "delivered", Progress.UNDELIVERED: "failed"}.get(Progress(receipt.rank), ""),
        detail=receipt.code,
        facts=(f"provider's id {receipt.provider_id}",) if receipt.provider_id else (),
    )


def _event(event: Event) -> Entry:
    return Entry(
        at=event.at,
        what=event.kind.capitalize(),
        facts=tuple(filter(None, [f"by {event.actor}", event.detail])),
    )


def _kind(outcome: Outcome) -> str:
    match outcome:
        case Outcome.ACCEPTED:
            return "sent"
        case Outcome.PERMANENT | Outcome.UNEXPECTED:
            return "failed"
        case Outcome.IN_DOUBT | Outcome.LOST:
            return "unknown"
        case Outcome.TRANSIENT | Outcome.RATE_LIMITED | Outcome.RELEASED:
            return "pending"
        case _:
            assert_never(outcome)


def _seconds(duration: timedelta) -> str:
    seconds = max(0.0, duration.total_seconds())
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
