"""Which notifications somebody means: narrowed by the same words in the admin, in commands and in what they leave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from notifications.models import Notification
from notifications.modes import in_mode
from notifications.outbox.listing import ids_between
from notifications.states import Status

_SETS: Final = {"statuses": Status, "channels": str, "error_codes": str, "clients": int, "ids": UUID}
_MOMENTS: Final = ("since", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Those for which all of this holds; what is empty or None narrows nothing."""

    statuses: frozenset[Status] = frozenset()
    channels: frozenset[str] = frozenset()
    error_codes: frozenset[str] = frozenset()
    clients: frozenset[int] = frozenset()  # their ids
    since: datetime | None = None  # accepted at or after; aware
    until: datetime | None = None  # accepted before; aware
    ids: frozenset[UUID] = frozenset()
    test: bool | None = None  # what test keys sent, or what they did not

    def frozen(self, at: datetime) -> Selection:
        """The same without what is accepted after `at`: a slow act must not pick up what comes while it runs."""
        return replace(self, until=min(at, self.until or at))

    def as_json(self) -> dict[str, Any]:
        """For `from_json`, and for people: what narrows nothing is left out."""
        found: dict[str, Any] = {name: sorted(map(_plain, getattr(self, name))) for name in _SETS}
        found |= {name: moment and moment.isoformat() for name in _MOMENTS if (moment := getattr(self, name))}
        kept = {name: value for name, value in found.items() if value}
        return kept if self.test is None else {**kept, "test": self.test}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Selection:
        """Raises: KeyError, TypeError, ValueError where `as_json` did not write it."""
        sets = {name: frozenset(kind(value) for value in kept.get(name, ())) for name, kind in _SETS.items()}
        moments = {name: datetime.fromisoformat(kept[name]) for name in _MOMENTS if name in kept}
        return cls(**sets, **moments, test=kept.get("test"))  # type: ignore[arg-type]

    def rows(self) -> QuerySet[Notification]:
        """Unordered. Which index leads to them is for the caller to see to: by status, by id, or by neither."""
        rows = Notification.objects.order_by()
        for name, value in (("status", self.statuses), ("channel", self.channels), ("error_code", self.error_codes)):
            if value:
                rows = rows.filter(**{f"{name}__in": sorted(value)})
        if self.clients:
            rows = rows.filter(client_id__in=sorted(self.clients))
        if self.ids:
            rows = rows.filter(id__in=sorted(self.ids))
        if self.since:  # ids are in the order of time, and most of what is older is passed over by them
            rows = rows.filter(id__gte=ids_between(self.since, None)[0], created_at__gte=self.since)
        if self.until:
            rows = rows.filter(created_at__lt=self.until)
        if self.test is not None:
            rows = rows.filter(in_mode(test=self.test))
        return rows


def _plain(value: object) -> str | int:
    return value if isinstance(value, int) else str(value)
