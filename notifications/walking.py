"""Through all that a selection means, in the order of ids and a stretch at a time, along the index that leads past the
fewest others: no stretch looks at more than LOOK rows of each, whatever the size of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet

from notifications.models import Listing, Notification
from notifications.modes import owner
from notifications.outbox.listing import ids_between
from notifications.selection import Selection
from notifications.states import Event, Status, sources

LOOK: Final = 5_000  # rows of an index; what is rare in it is found in several stretches
_NEEDY: Final = sources(Event.REPLAY)


@dataclass(frozen=True, slots=True)
class Stretch:
    ids: list[UUID]  # in the order of walking
    onward: UUID | None  # where the next begins, if there may be more
    partial: bool  # ended because it had looked at LOOK, not because it was full


def walk(
    selection: Selection, *, size: int, before: UUID | None = None, after: UUID | None = None, newest: bool = True
) -> Stretch:
    """The next `size` at most, between `before` and `after`, from the newest or the oldest on."""
    low, high = bounds(selection)
    low, high = max(low, after or low), min(high, before or high)
    ids: list[UUID] = []
    edges: list[UUID] = []
    for frame, condition in _ways(selection):
        last = edge(frame, low, high, newest=newest)
        rows = selection.rows().filter(condition)
        if frame.model is Listing:
            rows = rows.filter(id__in=between(frame, low, high, last, newest=newest).values("id"))
        else:
            rows = between(rows, low, high, last, newest=newest)
        ids += rows.order_by("-id" if newest else "id").values_list("id", flat=True)[: size + 1]
        edges += [last] if last else []
    # Where one way was not walked to its end, what the others have behind that place comes in the next stretch.
    end = (max(edges) if newest else min(edges)) if edges else None
    kept = [id_ for id_ in ids if end is None or (id_ >= end if newest else id_ <= end)]
    kept.sort(reverse=newest)
    more = len(kept) > size
    kept = kept[:size]
    return Stretch(kept, kept[-1] if more else end, partial=end is not None and not more)


def bounds(selection: Selection) -> tuple[UUID, UUID]:
    """Ids between which all of it lies, by its times."""
    return ids_between(selection.since, selection.until)


def edge(frame: QuerySet[Any], low: UUID, high: UUID, *, newest: bool) -> UUID | None:
    """The last that is looked at of a frame, where there may be more behind it."""
    ids = between(frame, low, high, None, newest=newest).order_by("-id" if newest else "id")
    return next(iter(ids.values_list("id", flat=True)[LOOK - 1 : LOOK]), None)


def between(rows: QuerySet[Any], low: UUID, high: UUID, last: UUID | None, *, newest: bool) -> QuerySet[Any]:
    """Those of a stretch: from one bound on up to and with `last`, or to the other bound."""
    rows = rows.filter(id__gt=low, id__lt=high)
    if last is None:
        return rows
    return rows.filter(id__gte=last) if newest else rows.filter(id__lte=last)


def channels_in_need() -> list[str]:
    """The channels that hold anything failed or unknown, by a few steps in the attention index."""
    found: list[str] = []
    rows = Notification.objects.filter(status__in=_NEEDY).order_by("channel").values_list("channel", flat=True)
    while (channel := rows.filter(channel__gt=found[-1] if found else "").first()) is not None:
        found.append(channel)
    return found


def _ways(selection: Selection) -> list[tuple[QuerySet[Any], Q]]:
    """Frames whose ids are read in order from one index each, and what the rows in each have in common."""
    everything: list[tuple[QuerySet[Any], Q]] = [(Notification.objects.all(), Q())]
    if selection.ids:
        return [(Notification.objects.filter(id__in=selection.ids), Q())]
    if selection.statuses and selection.statuses <= _NEEDY:
        named = sorted(selection.channels) or channels_in_need()
        conditions = [Q(channel=name, status__in=sorted(_NEEDY)) for name in named]
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
