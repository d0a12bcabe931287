"""When lanes that must wait for a moment known to the millisecond are woken, with no thread held until then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

# The moment is the database's, counted from its answer: asked a little early it would say "not yet" once more.
MARGIN: Final = 0.001  # seconds


class Turns:
    """One time for each lane, the earliest that was asked for; a thread of its own calls `wake` then."""

    def __init__(self, wake: Callable[[str], object]) -> None:
        self._wake = wake
        self._at: dict[str, float] = {}  # by the monotonic clock
        self._changed = threading.Condition()
        self._runs = False

    def ask(self, lane: str, seconds: float) -> None:
        """Wake this lane so many seconds from now, if that is sooner than what was asked before."""
        at = monotonic() + seconds + MARGIN
        with self._changed:
            self._at[lane] = min(at, self._at.get(lane, at))
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="turns", daemon=True).start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            for lane in self._ripe():
                self._wake(lane)

    def _ripe(self) -> list[str]:
        """Wait until the time of some has come, and return these."""
        with self._changed:
            while True:
                now = monotonic()
                ripe = [lane for lane, at in self._at.items() if at <= now]
                if ripe:
                    for lane in ripe:
                        del self._at[lane]
                    return ripe
                self._changed.wait(min(self._at.values()) - now if self._at else None)
