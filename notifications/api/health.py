"""Whether this process lives (`/healthz`) and whether it can serve (`/readyz`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from notifications import selectors

# A worker raises its beat twice a second; the others bury one whose beat stood still for 4 s.
BEAT_PATIENCE = timedelta(seconds=4)


class Beats:
    """Tells beating workers from dead ones by looking twice; no wall clock is asked."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._changed: dict[UUID, tuple[int, float]] = {}  # worker: its beat, and when that was first seen
        self._lock = threading.Lock()

    def beating(self, beats: Mapping[UUID, int]) -> int:
        """How many of the workers beat, those that were never seen before included."""
        now = self._now()
        with self._lock:
            self._changed = {
                worker: seen if (seen := self._changed.get(worker)) and seen[0] == beat else (beat, now)
                for worker, beat in beats.items()
            }
            return sum(now - since < BEAT_PATIENCE.total_seconds() for _, since in self._changed.values())


_beats = Beats()
_migrated = threading.Event()  # once applied they stay applied: this process need not look again


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is asked, so that a database outage restarts nobody."""
    return _answer({"status": "alive"}, 200)


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 where requests can be accepted, else 503 with the reasons.

    Workers are reported and do not decide: what is accepted without one waits in the database.
    """
    reasons: list[str] = []
    report: dict[str, object] = {}
    try:
        selectors.database_answers()
        report["database"] = "ok"
        if not _migrated.is_set():
            if missing := selectors.unapplied_migrations():
                reasons.append(f"{len(missing)} migrations are not applied, first {missing[0]}: run `migrate`.")
            else:
                _migrated.set()
        report["migrations"] = "ok" if _migrated.is_set() else "missing"
        if _migrated.is_set():
            report["workers"] = _beats.beating(selectors.worker_beats())
    except (DatabaseError, InterfaceError):
        report["database"] = "unreachable"
        reasons.append("The database does not answer.")
    return _answer({"status": "unready" if reasons else "ready", **report, "reasons": reasons}, 503 if reasons else 200)


def _answer(report: dict[str, object], status: int) -> JsonResponse:
    return JsonResponse(report, status=status, headers={"Cache-Control": "no-store"})
