"""Which lanes stand still and why, and which workers live; operators pause lanes and resume them here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from notifications import services
from notifications.admin.base import Watched, label, moment, note
from notifications.models import LaneState, Notification, Worker
from notifications.outbox.lanes import FOREVER
from notifications.states import Status


class PauseForm(forms.ModelForm):  # type: ignore[type-arg]
    """A pause of a lane, whether it has a row or not: so none of the row's own fields, nor of their names."""

    which = forms.CharField(
        label="Lane", help_text="A lane such as slack:ops, or a channel such as slack for all of its lanes."
    )
    because = forms.CharField(label="Reason", help_text="Clients see it.")
    until = forms.SplitDateTimeField(
        required=False, widget=AdminSplitDateTime, help_text="In UTC. Empty: until it is resumed."
    )

    class Meta:
        model = LaneState
        fields: list[str] = []

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors:
            names = {"lane": "which", "reason": "because", "until": "until"}
            for problem in services.check_pause(given["which"], reason=given["because"], until=given["until"]):
                self.add_error(names[problem.field], f"It {problem.detail}.")
        return given


@admin.register(LaneState)
class LaneStateAdmin(Watched[LaneState]):
    """Lanes that an answer closed or an operator paused, and where a paced one stands; what is not listed is open."""

    form = PauseForm
    fields = ["which", "because", "until"]
    list_display = ["lane", "state", "until", "failures", "why"]
    list_display_links = None
    ordering = ["lane"]
    actions = ["resume"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_act_permission(request)

    def save_model(self, request: HttpRequest, obj: LaneState, form: PauseForm, change: bool) -> None:  # noqa: FBT001
        given = form.cleaned_data
        obj.lane, obj.stopped_reason = given["which"], given["because"]
        actor = request.user.get_username()
        services.pause_lane(obj.lane, actor=actor, reason=obj.stopped_reason, until=given["until"])

    def log_addition(self, request: HttpRequest, obj: LaneState, message: object) -> None:  # type: ignore[override]
        note(request, [obj], f"Paused: {obj.stopped_reason}")

    @admin.display(description="state")
    def state(self, lane: LaneState) -> SafeString:
        now = timezone.now()
        if _is_stopped(lane):
            return label("paused by an operator", "paused")
        if lane.reason and lane.paused_until > now:
            return label("paused")
        # A lane whose pause has ended is half-open until its next success: the next failure pauses it for longer.
        return label("half-open, not yet proven", "pending") if lane.reason else label("open", "sent")

    @admin.display(description="until (UTC)")
    def until(self, lane: LaneState) -> str:
        if _is_stopped(lane):
            return "it is resumed" if lane.stopped_until == FOREVER else moment("stopped_until")(self, lane)
        return moment("paused_until")(self, lane) if lane.reason else "-"

    @admin.display(description="reason")
    def why(self, lane: LaneState) -> str:
        if _is_stopped(lane):
            return f"{lane.stopped_reason} ({lane.stopped_by})"
        return lane.reason

    @admin.action(description="Resume selected lanes now", permissions=["act"])
    def resume(self, request: HttpRequest, rows: QuerySet[LaneState]) -> None:
        actor = request.user.get_username()
        with transaction.atomic():
            resumed = [row for row in rows.order_by("lane") if services.resume_lane(row.lane, actor=actor)]
            note(request, resumed, "Resumed.")
        self.message_user(request, f"{len(resumed)} lanes were resumed.", messages.SUCCESS)


def _is_stopped(lane: LaneState) -> bool:
    return lane.stopped_until is not None and lane.stopped_until > timezone.now()


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
