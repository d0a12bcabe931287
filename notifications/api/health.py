"""Whether this process lives (`/healthz`) and whether it can serve (`/readyz`)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from notifications import selectors
from notifications.api.broker_look import broker_answers
from notifications.beating import workers_alive
from notifications.cursors import WHOLE_SHARE

DEAR = timedelta(milliseconds=50)  # a look at the queue takes a millisecond or two where nothing is amiss


class QueueAge:
    """What waits longest, asked anew but where that is dear: a pinned snapshot has it walk every dead entry."""

    def __init__(self) -> None:
        self._known: tuple[str, float] | None = None
        self._until = 0.0  # by the monotonic clock: until when that is believed

    def __call__(self) -> tuple[str, float] | None:
        began = time.monotonic()
        if began >= self._until:
            self._known = selectors.oldest_due()
            took = time.monotonic() - began
            self._until = began + (WHOLE_SHARE * took if took > DEAR.total_seconds() else 0.0)
        return self._known


_queue_age = QueueAge()
_migrated = threading.Event()  # once applied they stay applied: this process need not look again


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is asked, so that a database outage restarts nobody."""
    return _answer({"status": "alive"}, 200)


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 `ready`; 200 `degraded` where requests can be accepted and something keeps them from being sent; else 503
    `unready`. With `?strict`, for monitors, 503 for what is degraded, too. The reasons say what to do.

    What is accepted while no worker lives waits in the database: taking web servers away from the load balancer then
    would refuse what can be accepted (ADR 24).
    """
    found = readiness()
    refused = found.unready or (found.degraded and "strict" in request.GET)
    reasons = found.unready + found.degraded
    return _answer({"status": found.status, **found.report, "reasons": reasons}, 503 if refused else 200)


@dataclass(slots=True)
class Readiness:
    """What was found, and in sentences what is wrong with it and what to do."""

    report: dict[str, object] = field(default_factory=dict)
    unready: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        return "unready" if self.unready else "degraded" if self.degraded else "ready"


def readiness() -> Readiness:
    """How this service stands, as far as this process can tell; raises nothing that is expected."""
    found = Readiness()
    report = found.report
    try:
        selectors.database_answers()
        report["database"] = "ok"
        if not _migrated.is_set():
            if missing := selectors.unapplied_migrations():
                found.unready.append(f"{len(missing)} migrations are not applied, first {missing[0]}: run `migrate`.")
            else:
                _migrated.set()
        report["migrations"] = "ok" if _migrated.is_set() else "missing"
        if _migrated.is_set():
            found.degraded += _dispatch(report)
    except (DatabaseError, InterfaceError):
        report["database"] = "unreachable"
        found.unready.append(
            "The database does not answer: look at its server and at DATABASE_URL; nothing accepted is lost."
        )
    found.degraded += _broker(report)
    return found


def _dispatch(report: dict[str, object]) -> list[str]:
    """Whether what is accepted is sent; adds what it found to the report. Returns what is wrong, in sentences."""
    wrong = []
    report["workers"] = workers = workers_alive()
    if not workers:
        wrong.append(
            "No worker is alive, so what is accepted waits: start one (`dramatiq notifier.worker`), "
            "and read the last log lines of those that ended."
        )
    lane, age = _queue_age() or ("", 0.0)
    report["queue_age"] = round(age, 1)  # seconds
    limit: timedelta = settings.READY_QUEUE_AGE
    if age > limit.total_seconds():
        wrong.append(
            f"Something in the lane {lane} has been due for {age:.0f} s, over READY_QUEUE_AGE "
            f"({limit.total_seconds():g}): `manage.py lanes` says how much waits and how fast it may go; "
            "add workers, or raise the channel's rate."
        )
    return wrong


def _broker(report: dict[str, object]) -> list[str]:
    """The same of the broker."""
    answers = broker_answers()
    report["broker"] = "none" if answers is None else "ok" if answers else "unreachable"
    if answers is False:
        what = "The broker does not answer: look at its server and at BROKER_URL."
        return [f"{what} Meanwhile workers look for themselves, once a second."]
    return []


def _answer(report: dict[str, object], status: int) -> JsonResponse:
    return JsonResponse(report, status=status, headers={"Cache-Control": "no-store"})
