"""Lists over a table of any size: nothing counts it, nothing sorts it, and every page is found by an id."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest, QueryDict
from django.utils.functional import cached_property

from channels.registry import channels
from notifications.admin import finding
from notifications.admin.finding import ATTENTION, selection_of
from notifications.models import Client, Notification
from notifications.states import Status

MOST: Final = 10_000  # rows counted before an act; those beyond are said to be "at least" as many
PLACES: Final = ("before", "after")  # where a page begins; of no filter
CLIENTS: Final = 50  # shown as links; others by the address


class Here(Paginator):  # type: ignore[type-arg]  # it takes a type for type checkers alone
    """The one page that was read."""

    template_name = "admin/notifications/notification/pagination.html"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no farther than MOST."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the stubs know lists alone
        return rows.order_by()[:MOST].count()


class NewestFirst(ChangeList):
    """Always in the order of the primary key: any other would sort the table."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return ["-id"]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count  # else the theme says "1 result (Show all)" beside the title


class Found(NewestFirst):
    """Notifications, page by page. What is shown is what `selection_of` says."""

    found: finding.Page

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        kept: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in kept.items() if name not in PLACES}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        super().get_queryset(request, exclude_parameters)
        self.selection = selection_of(request.GET)
        return self.selection.rows().select_related("client").order_by("-id")

    def get_results(self, request: HttpRequest) -> None:
        before, after = (finding.cursor(request.GET, name) for name in PLACES)
        self.found = finding.page(self.selection, size=self.list_per_page, before=before, after=after)
        self.result_list = self.found.rows
        self.paginator = Here(self.found.rows, max(1, len(self.found.rows)))
        self.more = bool(self.found.older or self.found.newer)
        # One more than are shown, where there are more: then the actions offer all that match.
        self.result_count = len(self.found.rows) + self.more
        self.full_result_count = self.result_count  # as above
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False

    def _address(self, **place: Any) -> str:
        return self.get_query_string(place, remove=list(PLACES))

    @property
    def newest_link(self) -> str:
        return self._address() if self.params.get("before") or self.params.get("after") else ""

    @property
    def newer_link(self) -> str:
        return self._address(after=self.found.newer) if self.found.newer else ""

    @property
    def older_link(self) -> str:
        return self._address(before=self.found.older) if self.found.older else ""


class _Narrowing(admin.SimpleListFilter):
    """Links that write one word of the address; what the word means is `selection_of`'s to say."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        return queryset


class StatusFilter(_Narrowing):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(ATTENTION, "failed or unknown"), *((status.value, status.value) for status in Status)]


class ChannelFilter(_Narrowing):
    title = "channel"
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in channels()]


class ErrorCodeFilter(_Narrowing):
    """Of those that failed lately; any other can be typed."""

    title = "error code"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = set(channels())
        codes = finding.error_codes([name for name in request.GET.getlist("channel") if name in known])
        asked = [code for code in request.GET.getlist("error_code") if code and code not in codes]
        return [(code, code) for code in [*codes, *asked]]


class ClientFilter(_Narrowing):
    title = "client"
    parameter_name = "client"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(id_), name) for id_, name in Client.objects.order_by("name").values_list("id", "name")[:CLIENTS]]


class ModeFilter(_Narrowing):
    title = "mode"
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "live"), ("test", "test: the sandbox only")]


class AcceptedFilter(_Narrowing):
    title = "accepted"
    parameter_name = "accepted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("hour", "in the past hour"),
            ("day", "in the past day"),
            ("week", "in the past 7 days"),
            ("month", "in the past 30 days"),
        ]


class Exactly(admin.ListFilter):
    """Fields for what no link can offer: any error code, and times to the minute."""

    title = "exactly"
    template = "admin/notifications/notification/exactly.html"
    names = ("error_code", "since", "until")

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in ("since", "until"):
            params.pop(name, None)
        query: QueryDict = request.GET
        self.values = {name: query.get(name, "") for name in self.names}
        self.others = [(n, v) for n in query for v in query.getlist(n) if n not in (*self.names, *PLACES, "accepted")]

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return ["since", "until"]

    def choices(self, changelist: Any) -> Any:
        return iter(())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        return queryset
