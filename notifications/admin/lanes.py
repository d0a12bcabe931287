"""Every channel and its lanes: what keeps each, and what waits in it; operators pause and resume them. And the workers.

A pause, and the end of one, is asked for on a page that says what it stops and how much waits.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from channels.registry import channel_for, channel_row
from notifications import services
from notifications.admin import standing
from notifications.admin.base import Watched, audited, moment, note
from notifications.models import LaneState, Notification, Worker
from notifications.outbox.patience import TookTooLong, at_most
from notifications.outbox.statement import storable
from notifications.services.lanes import REASON_LIMIT
from notifications.states import Status

PATIENCE: Final = timedelta(seconds=5)  # for what a page asks: it takes some tens of milliseconds
NAMED: Final = 12  # lanes on a page that asks

PERIODS: Final = {
    "": "until it is resumed",
    "15": "for 15 minutes",
    "60": "for an hour",
    "240": "for 4 hours",
    "1440": "for a day",
    "until": "until the time below",
}  # minutes


class PauseForm(forms.Form):
    """How long a lane, or all of a channel, is paused, and why."""

    because = forms.CharField(
        label="Reason",
        max_length=REASON_LIMIT,
        help_text="Clients see it.",
        widget=forms.TextInput({"autocomplete": "off", "autofocus": True}),
    )
    period = forms.ChoiceField(label="How long", required=False, choices=list(PERIODS.items()))
    until = forms.DateTimeField(
        label="Time (UTC)", required=False, widget=forms.DateTimeInput({"type": "datetime-local"})
    )
    form = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, which: str, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.which = which
        self.ends_at: datetime | None = None

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return given
        period, until = given["period"], given["until"]
        if period == "until" and until is None:
            self.add_error("until", "Say until when.")
        elif period != "until" and until is not None:
            self.add_error("period", f"Choose “{PERIODS['until']}”, or leave the time empty.")
        else:
            self.ends_at = timezone.now() + timedelta(minutes=int(period)) if period.isdigit() else until
            names = {"reason": "because", "until": "until"}
            for problem in services.check_pause(self.which, reason=given["because"], until=self.ends_at):
                self.add_error(names.get(problem.field), f"It {problem.detail}.")
        return given


@admin.register(LaneState)
class LaneStateAdmin(Watched[LaneState]):
    """All channels of the settings, and their lanes: its list shows more than the table has."""

    def get_urls(self) -> list[URLPattern]:
        resume = path("resume/", self.admin_site.admin_view(self.resume), name="notifications_lanestate_resume")
        return [resume, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        search = storable(request.GET.get("q", "").strip())
        context: dict[str, Any] = {"search": search, "most": standing.SHOWN}
        try:
            with at_most(PATIENCE):
                context["sections"], context["total"] = standing.sections(search)
        except TookTooLong:
            context["late"] = f"{PATIENCE.total_seconds():.0f}"
        context["as_of"] = standing.as_of()
        context["opts"] = None  # the title stands where the model's name would
        return self._page(request, "channels", "Channels and lanes", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A lane has no page of its own: the list has all that there is to it."""
        return HttpResponseRedirect(f"{_list()}?{urlencode({'q': object_id})}")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Pause `?which=`, a lane or all of a channel; without it, ask which."""
        which = self._asked(request)
        wrong = [each for each in services.check_pause(which, reason="-", until=None) if each.field == "lane"]
        if wrong:
            said = f"It {wrong[0].detail}." if which else ""
            context = {"which": which, "wrong": said, "lanes": standing.known_lanes()}
            return self._page(request, "which", "Pause which lane?", context)
        if request.method != "POST":
            form = PauseForm(which, initial={"form": uuid4()})
        elif (form := PauseForm(which, request.POST)).is_valid():
            self._pause(request, form)
            return HttpResponseRedirect(_list())
        return self._confirm(request, "pause", which, form)

    def resume(self, request: HttpRequest) -> HttpResponse:
        """End what keeps `?which=`."""
        which = self._asked(request)
        if request.method != "POST":
            return self._confirm(request, "resume", which)
        with transaction.atomic():
            resumed = services.resume_lane(which, actor=request.user.get_username())
            if resumed:
                note(request, [LaneState(lane=which)], "Resumed.")
                audited(request, services.Noted.RESUME, which)
        if resumed:
            self.message_user(request, f"{which} is resumed.", messages.SUCCESS)
        else:
            self.message_user(request, f"{which} was not paused any more.", messages.WARNING)
        return HttpResponseRedirect(_list())

    def _asked(self, request: HttpRequest) -> str:
        if not self.has_act_permission(request):
            raise PermissionDenied
        return storable((request.POST.get("which") or request.GET.get("which", "")).strip())

    def _pause(self, request: HttpRequest, form: PauseForm) -> None:
        which, because = form.which, form.cleaned_data["because"].strip()
        how_long = f"until {form.ends_at:%Y-%m-%d %H:%M:%S} UTC" if form.ends_at else PERIODS[""]
        with transaction.atomic():
            detail, once = f"{how_long}: {because}", form.cleaned_data["form"]
            if audited(request, services.Noted.PAUSE, which, detail=detail, form=once):
                services.pause_lane(which, actor=request.user.get_username(), reason=because, until=form.ends_at)
                note(request, [LaneState(lane=which)], f"Paused: {because}")
        self.message_user(request, f"{which} is paused {how_long}.", messages.SUCCESS)

    def _confirm(self, request: HttpRequest, act: str, which: str, form: PauseForm | None = None) -> HttpResponse:
        found = standing.covered(which)
        known = channel_for(which)
        context = {
            "act": act,
            "which": which,
            "form": form,
            "lanes": [(each.lane, standing.many([each])) for each in found.lanes[:NAMED]],
            "others": found.total - len(found.lanes[:NAMED]),
            "waiting": standing.many(found.lanes, others=found.total > len(found.lanes)),
            "oldest": standing.lasting(max((each.due_for or 0 for each in found.lanes), default=0) or None),
            "kept_by": standing.kept_by(found.own) if found.own else [],
            "with_channel": channel_row(which) if found.own and found.own.with_channel else "",
            "rate": known.rate if known else None,
            "is_channel": which == channel_row(which) and [each.lane for each in found.lanes] != [which],
        }
        return self._page(request, "confirm", f"{act.capitalize()} {which}?", context)

    def _page(self, request: HttpRequest, name: str, title: str, context: dict[str, Any]) -> HttpResponse:
        common = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "may_act": self.has_act_permission(request),
        }
        return TemplateResponse(request, f"admin/notifications/lanestate/{name}.html", {**common, **context})


def _list() -> str:
    return reverse("admin:notifications_lanestate_changelist")


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
