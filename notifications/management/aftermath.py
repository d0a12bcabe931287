"""What became of notifications that a command sent again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final
from uuid import UUID

from notifications.models import Notification
from notifications.states import OPEN, Status

LOOK: Final = 1_000  # notifications in one look by primary key: tens of milliseconds
_OF_ONE: Final = 16  # bytes: they are kept as such, because there may be millions


class Aftermath:
    """Of those that were added; each is looked at until it has come to an end, or nobody knows of it."""

    def __init__(self) -> None:
        self._open = bytearray()
        self.ended: Counter[tuple[Status, str]] = Counter()  # by status and error code

    def add(self, ids: Collection[UUID]) -> None:
        for id_ in ids:
            self._open += id_.bytes

    @property
    def waiting(self) -> int:
        """How many were not at their end when they were last looked at."""
        return len(self._open) // _OF_ONE

    def look(self) -> None:
        """Raises: django.db.OperationalError."""
        still = bytearray()
        for ids in self._few():
            rows = {row[0]: row[1:] for row in Notification.objects.filter(id__in=ids).values_list(*_COLUMNS)}
            for id_ in ids:
                if id_ not in rows:
                    continue  # deleted for good: it was over, and long ago
                status, code = rows[id_]
                if status in OPEN and status != Status.UNKNOWN:
                    still += id_.bytes
                else:
                    self.ended[Status(status), code] += 1
        self._open = still

    def _few(self) -> Iterator[list[UUID]]:
        size = LOOK * _OF_ONE
        for begin in range(0, len(self._open), size):
            some = self._open[begin : begin + size]
            yield [UUID(bytes=bytes(some[at : at + _OF_ONE])) for at in range(0, len(some), _OF_ONE)]

    def in_words(self) -> str:
        """Such as "1,180 sent, 20 failed (550: 15, 552: 5), 3 still waiting"."""
        told = [_told(status, self.ended) for status in _ORDER if any(each is status for each, _ in self.ended)]
        if self.waiting:
            told.append(f"{self.waiting:,} still waiting")
        return ", ".join(told)

    @property
    def well(self) -> bool:
        """Whether all were sent."""
        return not self.waiting and all(status in _GOOD for status, _ in self.ended)


_COLUMNS: Final = ("id", "status", "error_code")
_GOOD: Final = frozenset({Status.SENT, Status.DELIVERED})
_ORDER: Final = (Status.SENT, Status.DELIVERED, Status.FAILED, Status.UNKNOWN, Status.CANCELED)


def _told(status: Status, ended: Counter[tuple[Status, str]]) -> str:
    codes = Counter({code: count for (each, code), count in ended.items() if each is status})
    told = f"{codes.total():,} {status.value}"
    if status in _GOOD or not any(codes):
        return told
    each = ", ".join(f"{code or '-'}: {count:,}" for code, count in codes.most_common())
    return f"{told} ({each})"
