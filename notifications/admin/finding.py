"""Which notifications a page's address means: the list, its filters and the acts on all that match read it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import QueryDict

from channels.registry import channels
from notifications.models import Client, Listing, Notification
from notifications.modes import owner
from notifications.outbox import searching
from notifications.outbox.listing import first_id
from notifications.selection import Selection
from notifications.states import Event, Status, sources

ATTENTION: Final = "attention"
LOOK: Final = 5_000  # rows that a page looks at in search of those it shows: what is rare is spread over several
LOOK_FOR_PART: Final = 10_000  # newest rows whose recipients are searched for a part
AGES: Final[Mapping[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
NARROWING: Final = ("status", "channel", "error_code", "client", "mode", "accepted", "since", "until")
_NEEDY: Final = sorted(sources(Event.REPLAY))
_FIRST: Final = UUID(int=0)
_LAST: Final = UUID(int=2**128 - 1)
_SLACK: Final = timedelta(seconds=1)  # the id has the time of acceptance to the millisecond


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
        window = _window(Notification.objects.all(), *_bounds(selection), newest=True, most=LOOK_FOR_PART)[0]
        like = named | Q(recipient__icontains=term)
        newest = selection.rows().filter(like, id__in=window.order_by().values("id")).order_by("-id")
        found = set(newest.values_list("id", flat=True)[: searching.FOUND])
    return replace(selection, ids=frozenset(found or {_FIRST}))


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Notification]
    newer: UUID | None  # `after` of the page before this one
    older: UUID | None  # `before` of the next
    partial: bool  # ended because it had looked at LOOK, not because it was full


def page(selection: Selection, *, size: int, before: UUID | None = None, after: UUID | None = None) -> Page:
    """Newest first, along the index that leads past the fewest others."""
    newest = after is None
    low, high = _bounds(selection)
    low, high = max(low, after or _FIRST), min(high, before or _LAST)
    ids: list[UUID] = []
    edges: list[UUID] = []
    for frame, condition in _ways(selection):
        window, edge = _window(frame, low, high, newest=newest, most=LOOK)
        rows = selection.rows().filter(condition)
        if frame.model is Listing:
            rows = rows.filter(id__in=window.order_by().values("id"))
        else:
            rows = _between(rows, low, high, edge, newest=newest)
        ids += rows.order_by("-id" if newest else "id").values_list("id", flat=True)[: size + 1]
        edges += [edge] if edge else []
    # Where one way was not walked to its end, what the others have behind that place comes on the next page.
    edge = (max(edges) if newest else min(edges)) if edges else None
    kept = [id_ for id_ in ids if edge is None or (id_ >= edge if newest else id_ <= edge)]
    kept.sort(reverse=newest)
    more = len(kept) > size
    kept = kept[:size]
    partial = edge is not None and not more
    onward = kept[-1] if more else edge
    back = (before or after) and (kept[0] if kept else _past(before or after, newest=newest))
    found = Notification.objects.filter(id__in=kept).select_related("client").defer("body", "content")
    rows_ = list(found.order_by("-id")) if kept else []
    return Page(rows_, back, onward, partial) if newest else Page(rows_, onward, back, partial)


def _past(place: UUID | None, *, newest: bool) -> UUID | None:
    """Of an empty page: so that the page beside it begins with the row at `place`."""
    return None if place is None else UUID(int=min(2**128 - 1, max(0, place.int + (-1 if newest else 1))))


def _bounds(selection: Selection) -> tuple[UUID, UUID]:
    low = first_id(selection.since - _SLACK) if selection.since else _FIRST
    return low, first_id(selection.until + _SLACK) if selection.until else _LAST


def _ways(selection: Selection) -> list[tuple[QuerySet[Any], Q]]:
    """Frames whose ids are read in order from one index each, and what the rows in each have in common."""
    everything: list[tuple[QuerySet[Any], Q]] = [(Notification.objects.all(), Q())]
    if selection.ids:
        return [(Notification.objects.filter(id__in=selection.ids), Q())]
    if selection.statuses and selection.statuses <= set(_NEEDY):
        named = sorted(selection.channels or channels())
        conditions = [Q(channel=name, status__in=_NEEDY) for name in named]
        return [(Notification.objects.filter(condition), condition) for condition in conditions]
    if len(selection.statuses) == 1 and (few := _few(*selection.statuses)) is not None:
        return [(Notification.objects.filter(id__in=few), Q(id__in=few))]
    if selection.clients:
        modes = (False, True) if selection.test is None else (selection.test,)
        owners = [owner(id_, test=test) for id_ in selection.clients for test in modes]
        return [(Listing.objects.filter(client_id=each), Q()) for each in owners]
    return everything


def _few(status: Status) -> list[UUID] | None:
    """All that wait, or are being sent, where they are few: their indexes are not in the order of ids."""
    orders = {Status.PENDING: ("lane", "priority", "client_id", "due_at", "id"), Status.SENDING: ("worker_id",)}
    if status not in orders:
        return None
    ids = Notification.objects.filter(status=status).order_by(*orders[status]).values_list("id", flat=True)[: LOOK + 1]
    found = list(ids)
    return found if len(found) <= LOOK else None


def _window(
    frame: QuerySet[Any], low: UUID, high: UUID, *, newest: bool, most: int
) -> tuple[QuerySet[Any], UUID | None]:
    """The first `most` of a frame, and the last of them where there may be more."""
    window = frame.filter(id__gt=low, id__lt=high).order_by("-id" if newest else "id")
    edge: UUID | None = next(iter(window.values_list("id", flat=True)[most - 1 : most]), None)
    return _between(window, low, high, edge, newest=newest), edge


def _between(rows: QuerySet[Any], low: UUID, high: UUID, edge: UUID | None, *, newest: bool) -> QuerySet[Any]:
    rows = rows.filter(id__gt=low, id__lt=high)
    if edge is None:
        return rows
    return rows.filter(id__gte=edge) if newest else rows.filter(id__lte=edge)


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
        first_id(moment + _SLACK), first_id(moment - _SLACK)
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
