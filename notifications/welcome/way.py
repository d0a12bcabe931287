"""How far one notification has come, in the three or four steps that everybody can follow, and by its whole story."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from notifications.admin.story import Line, lines
from notifications.models import Attempt, Notification
from notifications.states import FINISHED, Outcome, Status
from notifications.timeline import Next, next_step

STEP: Final = timedelta(milliseconds=150)  # between two looks at what takes milliseconds where all goes well
LATER: Final = timedelta(seconds=1)  # between two looks at what does not
LIVELY: Final = timedelta(seconds=30)  # for how long it is looked at by STEP
_SETTLED: Final = FINISHED | {Status.UNKNOWN}  # which only a person settles: the sandbox reports nothing later
_GOOD: Final = frozenset({Status.SENT, Status.DELIVERED})


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    kind: str  # done, now, bad; or "": not yet
    ms: int | None = None  # since it was accepted


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the story, and how long after it was accepted."""

    line: Line
    ms: int


@dataclass(frozen=True, slots=True)
class Way:
    row: Notification
    headline: str
    kind: str  # done, now or bad
    steps: list[Step]
    story: list[Told]
    next: Next
    again_in: int | None  # ms after which to look again; None: it is over
    in_sandbox: str  # the query of the sandbox's page that shows it
    in_admin: str


def way(row: Notification) -> Way:
    attempts = list(row.attempts.order_by("number"))
    status = Status(row.status)
    over = status in _SETTLED
    return Way(
        row=row,
        headline=_headline(row, status, attempts),
        kind="done" if status in _GOOD else "bad" if over else "now",
        steps=list(_steps(row, status, attempts)),
        story=[Told(line, _ms(row, line.at)) for line in lines(row)],
        next=next_step(row),
        again_in=None if over else _again_in(row),
        # The sandbox is told the correlation id of whatever it is sent, over every channel.
        in_sandbox=urlencode({"text": row.correlation_id}),
        in_admin=reverse("admin:notifications_notification_change", args=[row.pk]),
    )


def _again_in(row: Notification) -> int:
    step = STEP if timezone.now() - row.created_at < LIVELY else LATER
    return step // timedelta(milliseconds=1)


def _headline(row: Notification, status: Status, attempts: list[Attempt]) -> str:
    if status in _GOOD and (taken := _taken(attempts)) is not None:
        which = "the first attempt" if taken.number == 1 else f"attempt {taken.number}"
        return f"{status.value.capitalize()} in {_ms(row, taken.finished_at)} ms, at {which}"
    match status:
        case Status.PENDING:
            return "Not sent yet, to be tried again" if attempts else "Accepted, and waiting for a worker"
        case Status.SENDING:
            return "A worker is sending it"
        case Status.FAILED:
            return f"Failed: {row.error_code}" if row.error_code else "Failed"
        case Status.UNKNOWN:
            return "Nobody knows whether it was sent"
        case _:
            return status.value.capitalize()


def _steps(row: Notification, status: Status, attempts: list[Attempt]) -> Iterator[Step]:
    yield Step("accepted", "done", 0)
    began = row.claimed_at or (attempts[-1].started_at if attempts else None)
    if began is not None:
        yield Step("claimed", "done", _ms(row, began))
    else:
        yield Step("claimed", "" if status in _SETTLED else "now")
    if status in _GOOD:
        taken = _taken(attempts)
        yield Step("sent", "done", None if taken is None else _ms(row, taken.finished_at))
    elif status in _SETTLED:
        ended = row.finished_at or (attempts[-1].finished_at if attempts else None)
        yield Step(status.value, "bad", None if ended is None else _ms(row, ended))
    else:
        yield Step("sent", "now" if began is not None else "")
    if status is Status.DELIVERED and row.finished_at is not None:
        yield Step("delivered", "done", _ms(row, row.finished_at))


def _taken(attempts: list[Attempt]) -> Attempt | None:
    """The attempt that the provider took."""
    accepted = (each for each in attempts if Outcome.ACCEPTED in {each.outcome, each.late_outcome})
    return next(accepted, None)


def _ms(row: Notification, at: datetime) -> int:
    # The web server's clock said when it was accepted, the database's the rest: they may differ by a little.
    return max(0, round((at - row.created_at) / timedelta(milliseconds=1)))
