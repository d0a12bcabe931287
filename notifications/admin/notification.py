"""The page operators live on: find a notification, read its story, resend or cancel it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from channels.registry import channel_for
from notifications.admin import content
from notifications.admin.base import TEST, Watched, label, moment
from notifications.admin.operations import (
    CANCEL,
    RESEND,
    Forecast,
    Operation,
    forecast,
    is_doubtful,
    perform,
    perform_all,
)
from notifications.admin.paging import (
    MOST,
    AcceptedFilter,
    BoundedPaginator,
    ChannelFilter,
    ModeFilter,
    NewestFirst,
    StatusFilter,
)
from notifications.admin.story import lines
from notifications.models import Notification
from notifications.outbox.patience import TookTooLong, at_most
from notifications.outbox.suppressed import is_suppressed
from notifications.states import Status
from notifications.timeline import LATEST, next_step

LOOK_FOR: Final = timedelta(seconds=5)  # a search may read the whole table, and a page should not wait for that
CONFIRMED: Final = "confirmed"


@admin.register(Notification)
class NotificationAdmin(Watched[Notification]):
    list_display = ["created", "state", "recipient", "channel", "error_code", "next_due", "attempt", "client"]
    list_display_links = ["created"]
    list_filter = [StatusFilter, ChannelFilter, ModeFilter, AcceptedFilter]
    list_select_related = ["client"]
    list_per_page = 50
    paginator = BoundedPaginator
    most = MOST
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    search_fields = ["id", "recipient", "correlation_id", "idempotency_key"]
    search_help_text = "A whole id, correlation id or idempotency key, or a part of the recipient."
    actions = ["resend_selected", "cancel_selected"]
    change_form_template = "admin/notifications/notification/change_form.html"

    created, due, expires = moment("created_at"), moment("due_at"), moment("expires_at")
    claimed, started, finished = moment("claimed_at"), moment("started_at"), moment("finished_at")
    fieldsets = [
        (None, {"fields": ["state", "client", "channel", "lane", "recipient", "subject", "message", "beyond"]}),
        (
            "Times",
            {"fields": ["created", "due", "expires", "claimed", "started", "finished"]},
        ),
        (
            "Details",
            {
                "fields": [
                    *("id", "idempotency_key", "correlation_id", "provider_id", "error_code"),
                    *("priority", "attempt", "tries", "losses", "worker_id", "template", "pretty_metadata"),
                ]
            },
        ),
    ]

    @admin.display(description="status")
    def state(self, notification: Notification) -> SafeString:
        shown = label(notification.status)
        if notification.possible_duplicate:
            shown += label("possible duplicate", "double")
        return shown + TEST if notification.is_test else shown

    @admin.display(description="due (UTC)", empty_value="")
    def next_due(self, notification: Notification) -> str | None:
        return self.due(notification) if notification.status == Status.PENDING else None

    @admin.display
    def message(self, notification: Notification) -> SafeString:
        known = channel_for(notification.lane)
        measures = known.backend.measure(notification.body) if known else {}
        facts = ", ".join(f"{name} {value}" for name, value in measures.items())
        return format_html('<pre class="notifier-text">{}</pre>{}', notification.body, facts)

    @admin.display(description="beyond the text")
    def beyond(self, notification: Notification) -> SafeString | str:
        return content.rendered(notification) or "-"

    @admin.display(description="metadata")
    def pretty_metadata(self, notification: Notification) -> SafeString:
        pretty = json.dumps(notification.metadata, indent=2, ensure_ascii=False)
        return format_html('<pre class="notifier-text">{}</pre>', pretty)

    # --- the list ----------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestFirst]:
        return NewestFirst

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Notification], search_term: str
    ) -> tuple[QuerySet[Notification], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            by_id = queryset.filter(id=UUID(term))
        except ValueError:
            by_id = queryset.none()
        if by_id.exists():  # correlation ids often look like ids: only what is no id is searched for in the table
            return by_id, False
        return queryset.filter(Q(recipient__icontains=term) | Q(correlation_id=term) | Q(idempotency_key=term)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method != "GET":
            return super().changelist_view(request, extra_context)
        try:
            with at_most(LOOK_FOR):
                response = super().changelist_view(request, extra_context)
                if isinstance(response, TemplateResponse):
                    response.render()  # here, where its queries have their limit
                return response
        except TookTooLong:
            seconds = f"{LOOK_FOR.total_seconds():.0f}"
            advice = f"This took over {seconds} s and was stopped. Narrow it by time, or search for a whole id."
            self.message_user(request, advice, messages.WARNING)
            return HttpResponseRedirect(request.path)

    # --- acts --------------------------------------------------------------------------------------------

    @admin.action(description="Resend selected", permissions=["act"])
    def resend_selected(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._many(RESEND, request, rows)

    @admin.action(description="Cancel selected", permissions=["act"])
    def cancel_selected(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._many(CANCEL, request, rows)

    def _many(self, operation: Operation, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        if CONFIRMED not in request.POST:
            fields = [("action", f"{operation.name}_selected")]
            fields += [(name, value) for name in ("select_across",) for value in request.POST.getlist(name)]
            fields += [(ACTION_CHECKBOX_NAME, id_) for id_ in request.POST.getlist(ACTION_CHECKBOX_NAME)]
            return self._confirm(operation, request, forecast(operation, rows), fields)
        touched = perform_all(operation, rows, request)
        level = messages.SUCCESS if touched else messages.WARNING
        self.message_user(request, f"{touched:,} notifications were {operation.done}.", level)
        return None

    def get_urls(self) -> list[URLPattern]:
        acts = [
            path(
                f"<path:object_id>/{operation.name}/",
                self.admin_site.admin_view(self._view(operation)),
                name=f"notifications_notification_{operation.name}",
            )
            for operation in (RESEND, CANCEL)
        ]
        file = path(
            "<path:object_id>/attachments/<str:digest>/",
            self.admin_site.admin_view(self._attachment),
            name="notifications_notification_attachment",
        )
        return [*acts, file, *super().get_urls()]

    def _attachment(self, request: HttpRequest, object_id: str, digest: str) -> HttpResponse:
        notification = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, notification):
            raise PermissionDenied
        if notification is None:
            raise Http404
        return content.download(notification, digest)

    def _view(self, operation: Operation) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            return self._one(operation, request, unquote(object_id))

        return view

    def _one(self, operation: Operation, request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_act_permission(request):
            raise PermissionDenied
        notification = self.get_object(request, object_id)
        if notification is None:
            raise Http404
        harmless = operation is RESEND and not is_doubtful(notification)
        refusal = operation.refusal(notification, suppressed=is_suppressed(notification))
        if not harmless and not refusal and CONFIRMED not in request.POST:
            only_this = forecast(operation, Notification.objects.filter(id=notification.id))
            return self._confirm(operation, request, only_this, [])
        if perform(operation, [notification.id], request):
            self.message_user(request, f"The notification was {operation.done}.", messages.SUCCESS)
        else:
            reason = refusal or "changed"
            self.message_user(request, f"The notification was left alone: it is {reason}.", messages.WARNING)
        return HttpResponseRedirect(reverse("admin:notifications_notification_change", args=[notification.id]))

    def _confirm(
        self, operation: Operation, request: HttpRequest, foreseen: Forecast, fields: list[tuple[str, str]]
    ) -> HttpResponse:
        things = self.opts.verbose_name if foreseen.chosen == 1 else self.opts.verbose_name_plural
        context = {
            **self.admin_site.each_context(request),
            "title": f"{operation.name.capitalize()} {foreseen.chosen:,} {things}?",
            "opts": self.opts,
            "media": self.media,
            "operation": operation,
            "foreseen": foreseen,
            "left_alone": sorted(foreseen.left_alone.items()),
            "most": MOST,
            "resending": operation is RESEND,
            "fields": [*fields, (CONFIRMED, "yes")],
        }
        return TemplateResponse(request, "admin/notifications/notification/confirm.html", context)

    # --- one ---------------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        notification = self.get_object(request, unquote(object_id))
        story: dict[str, Any] = {}
        if notification is not None and self.has_view_permission(request, notification):
            suppressed = is_suppressed(notification)
            story = {
                "timeline": lines(notification),
                "latest": LATEST,
                "next": next_step(notification),
                "now": timezone.now(),
                "operations": [
                    operation
                    for operation in (RESEND, CANCEL)
                    if self.has_act_permission(request) and not operation.refusal(notification, suppressed=suppressed)
                ],
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **story})
