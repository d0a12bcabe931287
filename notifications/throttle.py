"""How fast a client may ask: so many a minute over all web processes, for hardly more than a look into memory.

A process takes a twentieth of the minute's requests at a time from the database and grants them by itself; so a client
may be refused a few requests short of its limit, and never gets one more.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import Final, NamedTuple

from notifications.outbox import quotas

SHARE: Final = 20  # of a minute's requests, the part that a process takes at a time


class Allowance(NamedTuple):
    """Whether a client may go on, and what it is told."""

    granted: bool
    limit: int  # a minute
    remaining: int
    reset: int  # seconds until there are more


@dataclass(slots=True)
class _Minute:
    """One client's, in one process."""

    limit: int
    ends: float  # by our monotonic clock
    own: int = 0  # granted to this process and not yet used
    left: int = 0  # to be granted, as far as this process knows


class Throttle:
    """Shared by the threads of a web process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[int, _Minute] = {}

    def take(self, client_id: int, *, limit: int, cost: int = 1) -> Allowance:
        """Use up `cost` of the client's minute, all or nothing. Raises: django.db.OperationalError."""
        with self._lock:
            minute = self._minutes.get(client_id)
            if minute is not None and minute.limit == limit and monotonic() < minute.ends:
                if minute.own >= cost:
                    minute.own -= cost
                    return _allowance(minute, granted=True)
                if minute.own + minute.left < cost:
                    return _allowance(minute, granted=False)
            own = minute.own if minute is not None and monotonic() < minute.ends else 0
        asked = monotonic()
        found = quotas.grant(client_id, ask=max(cost - own, limit // SHARE), limit=limit)
        with self._lock:
            minute = self._minutes.get(client_id)
            if minute is None or minute.limit != limit or minute.ends <= asked:
                minute = self._minutes[client_id] = _Minute(limit, asked)
            minute.ends = asked + found.ends_in
            minute.own += found.granted
            minute.left = max(0, limit - found.used)
            granted = minute.own >= cost
            if granted:
                minute.own -= cost
            return _allowance(minute, granted=granted)

    def forget(self) -> None:
        """What was granted before, as a new process has."""
        with self._lock:
            self._minutes.clear()


def _allowance(minute: _Minute, *, granted: bool) -> Allowance:
    return Allowance(granted, minute.limit, minute.own + minute.left, max(1, ceil(minute.ends - monotonic())))
