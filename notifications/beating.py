"""Which workers live, as far as somebody can tell who looks now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from notifications import selectors

# A worker raises its beat twice a second; the others bury one whose beat stood still for 4 s.
BEAT_PATIENCE: Final = timedelta(seconds=4)


class Beats:
    """Tells beating workers from dead ones by looking twice; no wall clock is asked."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._changed: dict[UUID, tuple[int, float]] = {}  # worker: its beat, and when that was first seen
        self._lock = threading.Lock()

    def beating(self, beats: Mapping[UUID, int]) -> int:
        """How many of the workers beat, those that were never seen before included."""
        now = self._now()
        with self._lock:
            self._changed = {
                worker: seen if (seen := self._changed.get(worker)) and seen[0] == beat else (beat, now)
                for worker, beat in beats.items()
            }
            return sum(now - since < BEAT_PATIENCE.total_seconds() for _, since in self._changed.values())


_beats: Final = Beats()


def workers_alive() -> int:
    """How many beat, by what this process has seen. Raises: django.db's errors."""
    return _beats.beating(selectors.worker_beats())
