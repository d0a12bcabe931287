"""Who did what to which notifications, and how far it has come; and what providers answered lately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from channels.registry import backends_of, channels
from notifications import services
from notifications.admin import attempts, finding
from notifications.admin.base import Watched, label, moment, note
from notifications.admin.paging import NewestFirst
from notifications.models import Operation
from notifications.states import Outcome

_UNFINISHED = (Operation.State.ASKED, Operation.State.RUNNING)
_COLOURS = {"asked": "pending", "running": "sending", "done": "sent", "stopped": "unknown"}


@admin.register(Operation)
class OperationAdmin(Watched[Operation]):
    list_display = ["asked_at", "act", "subject", "actor", "progress", "how_far", "detail"]
    list_display_links = ["asked_at"]
    list_filter = ["act", "actor", "state", "via"]
    search_fields = ["subject"]
    search_help_text = "A part of what it was done to."
    list_filter_sheet = True
    ordering = ["-id"]
    sortable_by = ()
    show_full_result_count = False
    list_per_page = 50
    change_form_template = "admin/notifications/operation/change_form.html"
    change_list_template = "admin/notifications/operation/change_list.html"
    fields = ["act", "subject", "actor", "via", "asked_at", "how_far", "progress", "left_alone", "ended", "detail"]
    asked_at, ended = moment("at"), moment("finished_at")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestFirst]:
        return NewestFirst

    @admin.display(description="state")
    def how_far(self, operation: Operation) -> SafeString:
        return label(operation.state, _COLOURS[operation.state])

    @admin.display(description="touched")
    def progress(self, operation: Operation) -> SafeString | str:
        if operation.chosen is None:
            return f"{operation.touched:,}"
        return format_html(
            '<progress value="{}" max="{}" aria-label="progress"></progress> {} of {}',
            operation.touched + operation.left_alone,
            max(operation.chosen, 1),
            f"{operation.touched:,}",
            f"{operation.chosen:,}",
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        running = Operation.objects.filter(state__in=_UNFINISHED).exists()
        return super().changelist_view(request, {**(extra_context or {}), "refreshes": running})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        operation = self.get_object(request, object_id)
        running = operation is not None and operation.state in _UNFINISHED
        stopped = operation is not None and operation.state == Operation.State.STOPPED
        of_relays = operation is not None and operation.via == Operation.Via.ADMIN
        may = self.has_act_permission(request)
        changing = {"refreshes": running, "can_stop": running and may, "can_resume": stopped and of_relays and may}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **changing})

    def _change(self, request: HttpRequest, object_id: str, change: Callable[..., bool], done: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_act_permission(request):
            raise PermissionDenied
        operation = self.get_object(request, object_id)
        if operation is None:
            raise Http404
        with transaction.atomic():
            changed = change(operation.pk, actor=request.user.get_username())
            note(request, [operation] if changed else [], f"{done}.")
        said = f"It was {done.lower()}." if changed else "It was left alone: it has changed meanwhile."
        self.message_user(request, said, messages.SUCCESS if changed else messages.WARNING)
        return HttpResponseRedirect(reverse("admin:notifications_operation_change", args=[operation.pk]))

    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change(request, object_id, services.stop_operation, "Stopped")

    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change(request, object_id, services.resume_operation, "Resumed")

    def get_urls(self) -> list[URLPattern]:
        newest = path("attempts/", self.admin_site.admin_view(self.attempts), name="notifications_attempt_newest")
        changes = [
            path(f"<path:object_id>/{name}/", self.admin_site.admin_view(view), name=f"notifications_operation_{name}")
            for name, view in (("stop", self.stop), ("resume", self.resume))
        ]
        return [newest, *changes, *super().get_urls()]

    def attempts(self, request: HttpRequest) -> HttpResponse:
        """Attempts have a key of two columns, for which Django's admin has no list."""
        if not request.user.has_perm("notifications.view_attempt"):
            raise PermissionDenied
        here = reverse("admin:notifications_attempt_newest")
        try:
            asked = attempts.Asked.of(request.GET)
        except finding.Unclear as error:
            self.message_user(request, f"Nothing was looked for: {error}", messages.ERROR)
            return HttpResponseRedirect(here)
        backends = sorted({backend.name for known in channels().values() for backend in backends_of(known)})
        choices = [
            ("outcome", [outcome.value for outcome in Outcome], asked.outcome),
            ("channel", sorted(channels()), asked.channel),
            ("backend", backends, asked.backend),
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Attempts",
            "media": self.media,
            "asked": asked,
            "choices": choices,
            "page": attempts.page(asked),
            "here": here,
            "look": attempts.LOOK,
        }
        return TemplateResponse(request, "admin/notifications/attempts.html", context)
