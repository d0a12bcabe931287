"""The story of one notification: what was done to it, in order, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from django.utils import timezone

from channels.contract import Progress
from channels.registry import backends_of, channel_for, channel_row
from notifications.models import Attempt, Event, LaneState, Notification, Receipt, Worker
from notifications.outbox.lanes import FOREVER
from notifications.outbox.suppressed import is_suppressed
from notifications.states import Outcome, Status

LATEST: Final = 200  # of each kind: a lane that was rate limited for a day leaves thousands of attempts
WORTH_TELLING: Final = timedelta(milliseconds=100)  # of a wait

# Why nothing was sent for a while, by the outcome before it; what is not here waits for a person.
_WAITS: Final = {
    Outcome.TRANSIENT: "to try again after a passing trouble",
    Outcome.RATE_LIMITED: "because the provider asked for patience",
    Outcome.IN_DOUBT: "to try again, as nobody knows whether it was sent",
    Outcome.LOST: "to try again, having been taken back from its worker",  # dead, stopped, or an operator's release
    Outcome.RELEASED: "for another worker, having been given back unsent",
    Outcome.UNEXPECTED: "to try again after an error of our own",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened, or is happening."""

    at: datetime
    event: str  # accepted, attempt, wait, receipt, redacted; or what somebody or the relay did: replayed, canceled …
    attempt: int | None = None
    outcome: str = ""  # of an attempt: one of Outcome, or "claimed" or "sending"; of a receipt: what it says
    until: datetime | None = None  # of an attempt that is over, and of a wait
    code: str = ""  # the provider's own
    detail: str = ""
    by: str = ""  # the backend, or who did it
    provider_id: str = ""
    late_outcome: str = ""
    possible_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next, and when if that is known."""

    what: str
    at: datetime | None = None


def timeline(notification: Notification, attempts: Sequence[Attempt] | None = None) -> list[Entry]:
    """Everything that is known, oldest first. `attempts`: in order, where they were read already."""
    if attempts is None:
        attempts = list(notification.attempts.order_by("-number")[:LATEST])[::-1]
    attempts = attempts[-LATEST:]
    events = list(notification.events.order_by("-id")[:LATEST])
    receipts = Receipt.objects.filter(notification=notification).order_by("-id")[:LATEST]
    entries = [
        *map(_attempt, attempts),
        *map(_receipt, receipts),
        *map(_event, events),
        *_under_way(notification),
        *_waits(notification, attempts, [event.at for event in events]),
    ]
    accepted = Entry(at=notification.created_at, event="accepted")
    if notification.redacted_at is not None:
        entries.append(Entry(at=notification.redacted_at, event="redacted", detail="recipient and content"))
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
            if notification.redacted_at is not None:
                return Next("Nothing: its recipient and content were redacted, so it cannot be resent.")
            if _expired(notification):
                return Next("Nothing: its life is over, so it cannot be resent.", notification.expires_at)
            if is_suppressed(notification):
                return Next("Nothing: its recipient is on the suppression list, so it cannot be resent.")
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
    if is_suppressed(notification):
        return Next("It fails when it is due: its recipient is on the suppression list.", notification.due_at)
    by = _by_backup(notification.lane)
    if notification.due_at > now:
        what = "It is tried again" if notification.attempt else "It is sent"
        return Next(f"{what}{by} when it is due.", notification.due_at)
    if (kept := _kept(notification.lane, now)) is not None:
        return kept
    if not Worker.objects.exists():
        return Next("It waits for a worker, and none is running.")
    sent = f", to be sent{by.rstrip(',')}" if by else ""
    return Next(f"It is due, and waits for the next free worker{sent}.")


def _by_backup(lane: str) -> str:
    """Whose turn it is, where it is not the channel's first backend; to follow a verb."""
    known = channel_for(lane)
    return f" by {known.backend.name}, the backup {known.backup}," if known and known.backup else ""


def _kept(name: str, now: datetime) -> Next | None:
    """What keeps everything in this lane."""
    states = {state.lane: state for state in LaneState.objects.filter(lane__in={name, channel_row(name)})}
    for state in states.values():
        if state.stopped_until is not None and state.stopped_until > now:
            until = None if state.stopped_until == FOREVER else state.stopped_until
            return Next(f"It waits, because an operator has paused {state.lane} ({state.stopped_reason}).", until)
    lane = states.get(name)
    if lane is None:
        return None
    if lane.reason and lane.paused_until > now:
        return Next(f"It waits, because its lane {name} is paused ({lane.reason}).", lane.paused_until)
    if lane.reason:
        return Next(
            f"It waits, because its lane {name} was paused ({lane.reason}) and is half-open: one message at a time is "
            "sent as a probe, and all others when one has got through."
        )
    known = channel_for(name)
    if known is not None and known.rate is not None and lane.next_at is not None and lane.next_at > now:
        return Next(f"It waits for its turn: its lane sends {known.rate}.", lane.next_at)
    return None


def _expired(notification: Notification) -> bool:
    return notification.expires_at is not None and notification.expires_at <= timezone.now()


def _attempt(attempt: Attempt) -> Entry:
    return Entry(
        at=attempt.started_at,
        event="attempt",
        attempt=attempt.number,
        outcome=attempt.outcome,
        until=attempt.finished_at,
        code=attempt.code,
        detail=attempt.detail,
        by=attempt.backend,
        provider_id=attempt.provider_id,
        late_outcome=attempt.late_outcome,
        possible_duplicate=attempt.possible_duplicate,
    )


def _under_way(notification: Notification) -> Iterator[Entry]:
    """The attempt that has no row yet: while it runs, the notification's own columns are its record."""
    if notification.claimed_at is None or notification.worker_id is None:
        return
    worker = Worker.objects.filter(id=notification.worker_id).first()
    yield Entry(
        at=notification.started_at or notification.claimed_at,
        event="attempt",
        attempt=notification.attempt,
        outcome="sending" if notification.started_at else "claimed",
        by=f"worker {worker}" if worker else "a worker that is gone",
        possible_duplicate=notification.possible_duplicate,
    )


def _receipt(receipt: Receipt) -> Entry:
    return Entry(
        at=receipt.received_at,
        event="receipt",
        attempt=receipt.attempt,
        outcome=Progress(receipt.rank).name.lower(),
        code=receipt.code,
        provider_id=receipt.provider_id,
    )


def _event(event: Event) -> Entry:
    return Entry(at=event.at, event=event.kind, by=event.actor, detail=event.detail)


def _waits(notification: Notification, attempts: Sequence[Attempt], broken: Sequence[datetime]) -> Iterator[Entry]:
    """What lay between attempts, and lies before the next; where somebody came between (`broken`) it was no wait."""
    ends = [(notification.created_at, "until it is due, and a worker is free")]
    ends += [(each.finished_at, _WAITS.get(Outcome(each.outcome), "")) for each in attempts]
    begins = [attempt.started_at for attempt in attempts] + _next_begins(notification)
    known = channel_for(notification.lane)
    several = known is not None and len(backends_of(known)) > 1
    backends = [attempt.backend for attempt in attempts] + [known.backend.name if known else ""]
    before = ["", *backends]
    for (since, why), until, last, by in zip(ends, begins, before, backends, strict=False):
        if why and until - since >= WORTH_TELLING and not any(since <= moment <= until for moment in broken):
            other = f", by {by}" if several and last and by and last != by else ""
            yield Entry(at=since, event="wait", until=until, detail=f"{why}{other}")


def _next_begins(notification: Notification) -> list[datetime]:
    """The attempt that has no row yet: the next one, or the one that is under way."""
    if notification.status == Status.PENDING:
        return [notification.due_at]
    began = notification.started_at or notification.claimed_at
    return [] if began is None else [began]
