"""Lists over a table of any size: nothing counts it, nothing sorts it, and no look lasts long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.functional import cached_property

from channels.registry import channels
from notifications.models import Notification
from notifications.outbox.listing import first_id
from notifications.states import Event, Status, sources

MOST: Final = 10_000  # rows counted, paged through and acted on at once; more is for `manage.py replay_outbox`
ATTENTION: Final = "attention"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no farther than MOST."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Notification] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:MOST].count()


class NewestFirst(ChangeList):
    """Always in the order of the primary key: any other would sort the table."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return ["-id"]


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(ATTENTION, "failed or unknown"), *((status.value, status.value) for status in Status)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        if self.value() == ATTENTION:
            return queryset.filter(status__in=sources(Event.REPLAY))
        return queryset.filter(status=self.value()) if self.value() else queryset


class ChannelFilter(admin.SimpleListFilter):
    title = "channel"
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in channels()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


class AcceptedFilter(admin.SimpleListFilter):
    """By the time in the ids, which the primary key is in the order of."""

    title = "accepted"
    parameter_name = "accepted"
    ages = {
        "hour": timedelta(hours=1),
        "day": timedelta(days=1),
        "week": timedelta(days=7),
        "month": timedelta(days=30),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("hour", "in the past hour"),
            ("day", "in the past day"),
            ("week", "in the past 7 days"),
            ("month", "in the past 30 days"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        age = self.ages.get(self.value() or "")
        return queryset.filter(id__gte=first_id(datetime.now(UTC) - age)) if age else queryset
