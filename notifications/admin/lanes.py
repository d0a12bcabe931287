"""Which lanes stand still and why, and which workers live."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from notifications import nudge
from notifications.admin.base import Watched, label, moment, note
from notifications.models import LaneState, Notification, Worker
from notifications.outbox import lanes
from notifications.states import Status


@admin.register(LaneState)
class LaneStateAdmin(Watched[LaneState]):
    """Lanes that a provider paused, or our credentials for it; one that is not listed is open."""

    list_display = ["lane", "state", "until", "failures", "reason"]
    list_display_links = None
    ordering = ["lane"]
    actions = ["resume"]
    until = moment("paused_until")

    @admin.display(description="state")
    def state(self, lane: LaneState) -> SafeString:
        # A lane whose pause has ended is listed until its next success: the next failure pauses it for longer.
        return label("paused") if lane.paused_until > timezone.now() else label("open, not yet proven", "pending")

    @admin.action(description="Resume selected lanes now", permissions=["act"])
    def resume(self, request: HttpRequest, rows: QuerySet[LaneState]) -> None:
        with transaction.atomic():
            resumed = [row for row in rows.order_by("lane") if lanes.resume(row.lane)]
            note(request, resumed, "Resumed.")
        for row in resumed:
            nudge.request(row.lane)
        self.message_user(request, f"{len(resumed)} lanes were resumed.", messages.SUCCESS)


@admin.register(Worker)
class WorkerAdmin(Watched[Worker]):
    """Worker processes; the others remove one whose beat stands still for four seconds."""

    list_display = ["host", "pid", "started", "beat", "claims", "id"]
    list_display_links = None
    ordering = ["host", "pid"]
    started = moment("started_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        held = Notification.objects.filter(status=Status.SENDING, worker_id=OuterRef("id")).order_by()
        counted = held.values("worker_id").annotate(count=Count("pk")).values("count")
        return super().get_queryset(request).annotate(held=Coalesce(Subquery(counted), 0))

    @admin.display(description="being sent")
    def claims(self, worker: Worker) -> int:
        held: int = worker.held  # type: ignore[attr-defined]
        return held
