"""Which notifications a page's address means: the list, its filters and the acts on all that match read it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from channels.registry import channels
from notifications import walking
from notifications.models import Client, Notification
from notifications.outbox import searching
from notifications.outbox.listing import ids_between
from notifications.selection import Selection
from notifications.states import Event, Status, sources

ATTENTION: Final = "attention"
_NONE: Final = UUID(int=0)  # no notification has it
AGES: Final[Mapping[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
NARROWING: Final = ("status", "channel", "error_code", "client", "mode", "accepted", "since", "until")
_NEEDY: Final = sorted(sources(Event.REPLAY))


class Unclear(Exception):
    """Raised where an address asks for what there is not; says what to mend."""


def selection_of(query: QueryDict) -> Selection:
    """What is narrowed by the address, `q` included, for which the indexes are asked. Raises: Unclear."""
    age = _one_of(query, "accepted", AGES)
    since = _moment(query, "since")
    mode = _one_of(query, "mode", ("live", "test"))
    selection = Selection(
        statuses=frozenset(_statuses(query)),
        channels=frozenset(filter(None, query.getlist("channel"))),
        error_codes=frozenset(filter(None, query.getlist("error_code"))),
        clients=frozenset(map(_client, filter(None, query.getlist("client")))),
        since=datetime.now(UTC) - AGES[age] if age and since is None else since,
        until=_moment(query, "until"),
        test=mode == "test" if mode else None,
    )
    term = query.get("q", "").strip()
    return _found(selection, term) if term else selection


def in_words(query: QueryDict) -> str:
    """For the audit: the address's own words."""
    names = (*NARROWING, "q")
    return ", ".join(f"{name} {value}" for name in names for value in query.getlist(name) if value) or "all"


def cursor(query: QueryDict, name: str) -> UUID | None:
    """Raises: Unclear."""
    try:
        text = query.get(name, "")
        return UUID(text) if text else None
    except ValueError:
        raise Unclear(f"“{name}” must be a notification's id, and is none: start from the newest.") from None


def _found(selection: Selection, term: str) -> Selection:
    """Exactly by what the indexes know; only what none of them knows is taken for a part of a recipient."""
    try:
        if Notification.objects.filter(id=UUID(term)).exists():
            return replace(selection, ids=frozenset({UUID(term)}))
    except ValueError:
        pass  # correlation ids and keys often look like ids, and ids never like recipients
    ids = {*searching.listed(term), *searching.keyed(term)}
    named = Q(recipient=term) | Q(correlation_id=term) | Q(idempotency_key=term)
    exact = Notification.objects.filter(named, id__in=ids).values_list("id", flat=True)
    found = set(exact) if ids else set()
    if not found:
        low, high = walking.bounds(selection)
        last = walking.edge(Notification.objects.all(), low, high, newest=True)
        like = selection.rows().filter(named | Q(recipient__icontains=term))
        newest = walking.between(like, low, high, last, newest=True).order_by("-id")
        found = set(newest.values_list("id", flat=True)[: searching.FOUND])
    return replace(selection, ids=frozenset(found or {_NONE}))


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Notification]
    newer: UUID | None  # `after` of the page before this one
    older: UUID | None  # `before` of the next
    partial: bool  # ended because it had looked at LOOK, not because it was full


def page(selection: Selection, *, size: int, before: UUID | None = None, after: UUID | None = None) -> Page:
    """Newest first."""
    newest = after is None
    found = walking.walk(selection, size=size, before=before, after=after, newest=newest)
    back = (before or after) and (found.ids[0] if found.ids else _past(before or after, newest=newest))
    read = Notification.objects.filter(id__in=found.ids).select_related("client").defer("body", "content")
    rows = list(read.order_by("-id")) if found.ids else []
    newer, older = (back, found.onward) if newest else (found.onward, back)
    return Page(rows, newer, older, found.partial)


def _past(place: UUID | None, *, newest: bool) -> UUID | None:
    """Of an empty page: so that the page beside it begins with the row at `place`."""
    return None if place is None else UUID(int=min(2**128 - 1, max(0, place.int + (-1 if newest else 1))))


def error_codes(named: list[str]) -> list[str]:
    """Those of the newest failed and unknown ones, of these channels or of all."""
    looks = [
        Notification.objects.filter(channel=name, status__in=_NEEDY).order_by("-id").values("error_code")[:500]
        for name in named or sorted(channels())
    ]
    first, *others = looks
    return sorted({row["error_code"] for row in first.union(*others, all=True)} - {""})


def _statuses(query: QueryDict) -> list[Status]:
    found: list[Status] = []
    for value in filter(None, query.getlist("status")):
        if value == ATTENTION:
            found += map(Status, _NEEDY)
        elif value in set(Status):
            found.append(Status(value))
        else:
            raise Unclear(f"“status” must be one of {', '.join([ATTENTION, *Status])}.")
    return found


def _one_of(query: QueryDict, name: str, allowed: Any) -> str:
    value = query.get(name, "")
    if value and value not in allowed:
        raise Unclear(f"“{name}” must be one of {', '.join(allowed)}.")
    return value


def _moment(query: QueryDict, name: str) -> datetime | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        ids_between(moment, moment)
    except (ValueError, OverflowError):
        raise Unclear(f"“{name}” must be a time such as 2026-01-31T14:30 (UTC).") from None
    return moment


def _client(text: str) -> int:
    """By its id or its name. Raises: Unclear."""
    known = Client.objects.filter(id=int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else None
    found = (known or Client.objects.filter(name=text)).values_list("id", flat=True).first()
    if found is None:
        raise Unclear("“client” must be the id or the name of one.")
    return found
