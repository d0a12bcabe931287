"""From notifications to the pages that pause and resume their lanes, which ask before they do."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from channels.registry import channel_row
from notifications.admin import finding
from notifications.models import LaneState, Notification


class Unclear(Exception):
    """Raised where no single lane or channel is meant; what to do instead, for the operator."""


def links(notification: Notification) -> Iterator[tuple[str, str]]:
    """What can be done to its lane and its channel: words, and where they lead."""
    both = list(dict.fromkeys([notification.lane, channel_row(notification.lane)]))
    standing = _standing(both)
    yield from ((f"Resume {which}", _page("resume", which)) for which in both if which in standing)
    yield from ((f"Pause {which}", _page("add", which)) for which in both)


def pausing(request: HttpRequest, rows: QuerySet[Notification]) -> str:
    """Where the one lane of those that were selected is paused, or else their one channel. Raises: Unclear."""
    if _all_that_match(request):
        return _page("add", _channel_of_filter(request))
    lanes = _lanes(rows)
    which = lanes if len(lanes) == 1 else sorted(set(map(channel_row, lanes)))
    if len(which) != 1:
        raise Unclear(f"One at a time: these are of {', '.join(which)}. Select those of one channel.")
    return _page("add", which[0])


def resuming(request: HttpRequest, rows: QuerySet[Notification]) -> str:
    """Where what keeps those that were selected is ended. Raises: Unclear."""
    if _all_that_match(request):
        return _page("resume", _channel_of_filter(request))
    lanes = _lanes(rows)
    standing = _standing({*lanes, *map(channel_row, lanes)})
    if not standing:
        raise Unclear("None of these lanes is paused.")
    if len(standing) > 1:
        raise Unclear(f"One at a time: {', '.join(standing)} stand still. All are listed in Channels and lanes.")
    return _page("resume", standing[0])


def _all_that_match(request: HttpRequest) -> bool:
    return request.POST.get("select_across") == "1"


def _channel_of_filter(request: HttpRequest) -> str:
    channels = finding.selection_of(request.GET).channels
    if len(channels) != 1:
        raise Unclear("Narrow the list to one channel, of which all is paused or resumed, or select one by one.")
    return next(iter(channels))


def _lanes(rows: QuerySet[Notification]) -> list[str]:
    return sorted(set(rows.order_by().values_list("lane", flat=True)))


def _standing(lanes: Collection[str]) -> list[str]:
    kept = Q(stopped_until__gt=timezone.now()) | ~Q(reason="")
    return list(LaneState.objects.filter(kept, lane__in=lanes).order_by("lane").values_list("lane", flat=True))


def _page(name: str, which: str) -> str:
    return f"{reverse(f'admin:notifications_lanestate_{name}')}?{urlencode({'which': which})}"
