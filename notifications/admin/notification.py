"""The page operators live on: find a notification, read its story, resend or cancel it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from channels.registry import channel_for
from notifications import services
from notifications.admin import content, curl, finding, to_lanes
from notifications.admin.base import TEST, Watched, label, moment
from notifications.admin.operations import (
    ACTS,
    AT_ONCE,
    CANCEL,
    RELEASE,
    RESEND,
    Act,
    Forecast,
    forecast,
    form_of,
    is_doubtful,
    perform,
)
from notifications.admin.paging import (
    MOST,
    AcceptedFilter,
    ChannelFilter,
    ClientFilter,
    ErrorCodeFilter,
    Exactly,
    Found,
    ModeFilter,
    StatusFilter,
)
from notifications.admin.story import lines
from notifications.models import Notification, Operation
from notifications.outbox.patience import TookTooLong, at_most
from notifications.outbox.suppressed import is_suppressed
from notifications.selection import Selection
from notifications.states import Status
from notifications.timeline import LATEST, next_step
from notifications.walking import LOOK

LOOK_FOR: Final = timedelta(seconds=5)  # each look is bounded; this is the belt for a database that is busy
CONFIRMED: Final = "confirmed"
SUBJECT_LIMIT: Final = 500  # characters of an address that are kept as words


@admin.register(Notification)
class NotificationAdmin(Watched[Notification]):
    list_display = ["created", "state", "to", "channel", "error_code", "next_due", "attempt", "client"]
    list_display_links = ["created"]
    list_filter = [
        *(StatusFilter, ChannelFilter, ErrorCodeFilter, AcceptedFilter, Exactly, ClientFilter, ModeFilter),
    ]
    list_filter_sheet = True
    list_select_related = ["client"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    search_fields = ["id"]  # that there is a search; what it finds is `selection_of`'s to say
    search_help_text = (
        "A whole id, recipient, correlation id or idempotency key, of any time. "
        f"A part of a recipient is looked for among the newest {LOOK:,} only, "
        "or of those accepted before a time that is given."
    )
    actions = ["resend_selected", "cancel_selected", "release_selected", "pause_selected", "resume_selected"]
    change_form_template = "admin/notifications/notification/change_form.html"

    created, due, expires = moment("created_at"), moment("due_at"), moment("expires_at")
    claimed, started, finished = moment("claimed_at"), moment("started_at"), moment("finished_at")
    fieldsets = [
        (None, {"fields": ["state", "client", "channel", "lane", "to", "subject", "message", "beyond"]}),
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

    @admin.display(description="recipient")
    def to(self, notification: Notification) -> SafeString | str:
        return label("redacted") if notification.redacted_at else notification.recipient

    @admin.display
    def message(self, notification: Notification) -> SafeString:
        if notification.redacted_at:
            return label("redacted")
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

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Found]:
        return Found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Notification], search_term: str
    ) -> tuple[QuerySet[Notification], bool]:
        return queryset, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            if request.method != "GET":
                return super().changelist_view(request, extra_context)
            with at_most(LOOK_FOR):
                response = super().changelist_view(request, extra_context)
                if isinstance(response, TemplateResponse):
                    response.render()  # here, where its queries have their limit
                return response
        except finding.Unclear as error:
            self.message_user(request, f"Nothing was looked for: {error}", messages.ERROR)
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

    @admin.action(description="Release selected", permissions=["act"])
    def release_selected(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._many(RELEASE, request, rows)

    @admin.action(description="Pause the lane of selected", permissions=["lanes"])
    def pause_selected(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._to_lane(to_lanes.pausing, request, rows)

    @admin.action(description="Resume the lane of selected", permissions=["lanes"])
    def resume_selected(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._to_lane(to_lanes.resuming, request, rows)

    def _to_lane(
        self,
        page: Callable[[HttpRequest, QuerySet[Notification]], str],
        request: HttpRequest,
        rows: QuerySet[Notification],
    ) -> HttpResponse | None:
        try:
            return HttpResponseRedirect(page(request, rows))
        except to_lanes.Unclear as error:
            self.message_user(request, str(error), messages.WARNING)
            return None

    def has_lanes_permission(self, request: HttpRequest) -> bool:
        """For actions on lanes."""
        return request.user.has_perm("notifications.change_lanestate")

    def _many(self, act: Act, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        all_that_match = request.POST.get("select_across") == "1"
        form = form_of(request.POST.get("form", ""))
        if CONFIRMED not in request.POST or (all_that_match and form is None):
            fields = [("action", f"{act.name}_selected"), ("form", uuid4().hex)]
            fields += [("select_across", value) for value in request.POST.getlist("select_across")[:1]]
            fields += [(ACTION_CHECKBOX_NAME, id_) for id_ in request.POST.getlist(ACTION_CHECKBOX_NAME)]
            with at_most(LOOK_FOR):
                foreseen = forecast(act, rows)
            fields += [("chosen", str(foreseen.chosen))]
            return self._confirm(act, request, foreseen, fields, later=all_that_match)
        ids = [] if all_that_match else list(rows.order_by("-id").values_list("id", flat=True)[: AT_ONCE + 1])
        if all_that_match or len(ids) > AT_ONCE:
            if all_that_match:
                selection, subject = finding.selection_of(request.GET), finding.in_words(request.GET)
            else:
                selection, subject = self._selected(request), "those that were selected"
            counted = request.POST.get("chosen", "")
            chosen = int(counted) if counted.isascii() and counted.isdigit() and len(counted) < 10 else 0
            operation = services.ask(
                act.name,
                selection,
                actor=request.user.get_username(),
                via=Operation.Via.ADMIN,
                chosen=chosen,
                subject=subject[:SUBJECT_LIMIT],
                form=form,
            )
            self.message_user(request, f"Asked for: a relay begins within a second ({subject}).", messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:notifications_operation_change", args=[operation.pk]))
        touched = len(perform(act, ids, request)) if ids else 0
        level = messages.SUCCESS if touched else messages.WARNING
        self.message_user(request, f"{touched:,} notifications were {act.done}.", level)
        return None

    def _selected(self, request: HttpRequest) -> Selection:
        return Selection(ids=frozenset(map(UUID, request.POST.getlist(ACTION_CHECKBOX_NAME))))

    def get_urls(self) -> list[URLPattern]:
        acts = [
            path(
                f"<path:object_id>/{operation.name}/",
                self.admin_site.admin_view(self._view(operation)),
                name=f"notifications_notification_{operation.name}",
            )
            for operation in ACTS
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

    def _view(self, operation: Act) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            return self._one(operation, request, unquote(object_id))

        return view

    def _one(self, operation: Act, request: HttpRequest, object_id: str) -> HttpResponse:
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
        self,
        operation: Act,
        request: HttpRequest,
        foreseen: Forecast,
        fields: list[tuple[str, str]],
        *,
        later: bool = False,
    ) -> HttpResponse:
        things = self.opts.verbose_name if foreseen.chosen == 1 else self.opts.verbose_name_plural
        least = "at least " if foreseen.beyond else ""
        context = {
            **self.admin_site.each_context(request),
            "title": f"{operation.name.capitalize()} {least}{foreseen.chosen:,} {things}?",
            "least": least,
            "later": later,
            "meant": finding.in_words(request.GET) if later else "",
            "opts": self.opts,
            "media": self.media,
            "operation": operation,
            "foreseen": foreseen,
            "left_alone": sorted(foreseen.left_alone.items()),
            "channels": sorted(foreseen.channels.items()),
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
                "curl": curl.command(notification, request.build_absolute_uri("/").rstrip("/")),
                "related": self._related(notification),
                "acts_on_lanes": self.has_lanes_permission(request),
                "lane_links": list(to_lanes.links(notification)),
                "operations": [
                    operation
                    for operation in ACTS
                    if self.has_act_permission(request) and not operation.refusal(notification, suppressed=suppressed)
                ],
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **story})

    def _related(self, notification: Notification) -> list[tuple[str, str]]:
        """Links to those that have something in common with it."""
        words = [("Same correlation id", notification.correlation_id)]
        if notification.redacted_at is None:
            words.insert(0, ("Same recipient", notification.recipient))
        there = reverse("admin:notifications_notification_changelist")
        links = [(title, f"{there}?{urlencode({'q': word})}") for title, word in words if word]
        if notification.error_code and notification.status in (Status.FAILED, Status.UNKNOWN):
            alike = {"status": notification.status, "channel": notification.channel}
            links.append(("Same error", f"{there}?{urlencode({**alike, 'error_code': notification.error_code})}"))
        return links
