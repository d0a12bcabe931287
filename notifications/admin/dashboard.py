"""The page that staff see first: how things went, how they stand, and whether they add up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from channels.registry import MARK, channel_row, channels
from notifications import chores
from notifications.beating import workers_alive
from notifications.dashboard import CURVES, PERIODS, Past, past
from notifications.models import Chore, LaneState, Operation, Worker
from notifications.outbox import books, gauges
from notifications.outbox.lanes import FOREVER
from notifications.outbox.patience import TookTooLong, at_most

PATIENCE: Final = timedelta(seconds=5)  # for all that it asks: it takes some tens of milliseconds
TOP: Final = 12  # error codes, lanes and acts that are listed
_COLOURS: Final = {"accepted": "#2563eb", "sent": "#15803d", "failed": "#dc2626", "waiting": "#b45309"}
_SHADES: Final = ("#2563eb", "#b45309", "#dc2626")
_NAMES: Final = ("p50", "p95", "p99")
_WORDS: Final = {"hour": "past hour", "6h": "past 6 hours", "day": "past day"}


def context(request: HttpRequest, given: dict[str, Any]) -> dict[str, Any]:
    """What the theme asks for before it renders the index; nothing more for whoever may not see notifications."""
    if not request.user.has_perm("notifications.view_notification"):
        return given
    period = request.GET.get("past", "hour")
    period = period if period in PERIODS else "hour"
    channel = request.GET.get("channel", "")
    channel = channel if channel in channels() else ""
    try:
        with at_most(PATIENCE):
            seen = {**_went(period, channel), **_stands(channel)}
    except TookTooLong:
        seen = {"late": f"{PATIENCE.total_seconds():.0f}"}
    links = [(words, _link(name, channel), name == period) for name, words in _WORDS.items()]
    narrowing = [("all channels", _link(period, ""), not channel)]
    narrowing += [(name, _link(period, name), name == channel) for name in channels()]
    return {**given, **seen, "dashboard": True, "as_of": timezone.now(), "periods": links, "narrowing": narrowing}


def _link(period: str, channel: str) -> str:
    asked = {"past": period, **({"channel": channel} if channel else {})}
    return f"{reverse('admin:index')}?{urlencode(asked)}"


def _went(period: str, channel: str) -> dict[str, Any]:
    found = past(period, channel)
    clocks = [f"{step:%H:%M}" for step in found.steps]
    return {
        "curves": [
            {
                "name": name,
                "chart": _chart(clocks, [(name, _COLOURS[name], found.curves[name])]),
                "most": max(found.curves[name]),
                "last": found.curves[name][-1],
            }
            for name in CURVES
        ],
        "latency": _chart(
            clocks,
            [
                (name, shade, [_ms(each[place]) for each in found.latency])
                for place, (name, shade) in enumerate(zip(_NAMES, _SHADES, strict=True))
            ],
        ),
        "overall": [
            (name, seconds) for name, seconds in zip(_NAMES, found.overall, strict=True) if seconds is not None
        ],
        "totals": found.totals,
        "codes": list(_codes(found)),
        "rows": _table(found),
        "step": found.minutes,
        "quiet": not any(found.totals.values()),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e3 * seconds, 1)


def _chart(clocks: list[str], curves: list[tuple[str, str, Any]]) -> str:
    return json.dumps(
        {
            "labels": clocks,
            "datasets": [
                {
                    "label": name,
                    "borderColor": colour,
                    "backgroundColor": colour,
                    "data": points,
                    "displayYAxis": True,
                    "pointRadius": 1.5,
                }
                for name, colour, points in curves
            ],
        }
    )


def _codes(found: Past) -> Iterator[dict[str, Any]]:
    listed = reverse("admin:notifications_notification_changelist")
    for each in found.codes[:TOP]:
        asked = {"channel": each.channel, "error_code": each.code}
        if each.kind in {"failed", "unknown"}:
            asked["status"] = each.kind
        yield {"seen": each, "link": f"{listed}?{urlencode(asked)}"}


def _table(found: Past) -> list[dict[str, Any]]:
    """The charts' numbers, newest first, without the steps in which nothing was."""
    rows = []
    for place, begun in enumerate(found.steps):
        numbers = [round(found.curves[name][place], 1) for name in CURVES]
        times = list(map(_ms, found.latency[place]))
        if any(numbers) or any(times):
            rows.append({"begun": begun, "numbers": numbers, "times": times})
    return rows[::-1]


def _stands(channel: str) -> dict[str, Any]:
    now = gauges.read()
    live = {lane: number for lane, number in now.waiting.items() if _is_shown(lane, channel)}
    oldest = {lane: seconds for lane, seconds in now.oldest.items() if lane in live and seconds > 0}
    attention = {
        status: sum(
            number for (of, which), number in now.attention.items() if which == status and _is_shown(of, channel)
        )
        for status in ("failed", "unknown")
    }
    first = max(oldest.items(), key=lambda found: found[1], default=None)
    return {
        "waiting": sum(live.values()),
        "oldest": first,
        "attention": attention,
        "workers": workers_alive(),
        "paused": list(_paused(channel)),
        "acts": Operation.objects.filter(state__in=[Operation.State.ASKED, Operation.State.RUNNING]).order_by("id")[
            :TOP
        ],
        "chores": list(_chores()),
        "books": books.newest(),
    }


def _chores() -> Iterator[dict[str, Any]]:
    """What the relays do on time, and how it went; what the settings ask for no more is not shown."""
    known = {chore.name: chore for chore in Chore.objects.all()}
    for name, each in chores.wanted().items():
        chore = known.get(name)
        holder = chore and chore.taken_by and Worker.objects.filter(pk=chore.taken_by).first()
        so_far = chores.in_words(each.verb, chore.done) if chore else ""
        yield {"name": name, "chore": chore, "holder": holder, "so_far": so_far}


def _is_shown(lane: str, channel: str) -> bool:
    return not lane.startswith(MARK) and channel in ("", channel_row(lane))


def _paused(channel: str) -> Iterator[dict[str, Any]]:
    now = timezone.now()
    for state in LaneState.objects.order_by("lane"):
        if channel and channel_row(state.lane).removeprefix(MARK) != channel:
            continue
        if state.stopped_until is not None and state.stopped_until > now:
            until = None if state.stopped_until == FOREVER else state.stopped_until
            yield {"lane": state.lane, "why": f"{state.stopped_reason} ({state.stopped_by})", "until": until}
        elif state.reason:
            half_open = state.paused_until <= now
            yield {
                "lane": state.lane,
                "why": state.reason,
                "until": None if half_open else state.paused_until,
                "half_open": half_open,
            }


admin.site.index_template = "admin/notifications/dashboard.html"
