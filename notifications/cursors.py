"""Where the next claim of a lane begins to look.

While some session holds an old snapshot, vacuum removes nothing, and a scan from the start of the ready index walks
every entry that was ever claimed since. Beginning at the last claimed key costs nothing. Behind it lie only late
commits and rows that another session held, so a drain looks back a little whenever it is not in full flow, and all the
way back at intervals that grow with the price of such a scan.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Final
from uuid import UUID

from notifications.outbox.claim import START, Claim, Position
from notifications.states import Priority

LOOK_BACK: Final = timedelta(seconds=30)  # longer than accepting transactions last, but for exceptional ones
WHOLE_AT_LEAST: Final = 5.0  # seconds between scans from the start
WHOLE_SHARE: Final = 20  # and this many times what the last one took: at most a twentieth of the time goes into them
WHOLE_AT_MOST: Final = 60.0  # seconds: what made the last one slow may have been a lock or a stall, which is no price


class Cursors:
    """The cursors of one worker process; shared by its threads."""

    def __init__(self, *, whole_at_least: float = WHOLE_AT_LEAST) -> None:
        self._whole_at_least = whole_at_least
        self._lock = threading.Lock()
        self._positions: dict[str, dict[int, Position]] = {}
        self._whole_next: dict[str, float] = {}

    def begin(self, lane: str, *, in_full_flow: bool) -> tuple[Mapping[int, Position], bool]:
        """Where to look now, and whether that is a scan from the start (to be given back to `advance`)."""
        now = monotonic()
        with self._lock:
            if now >= self._whole_next.get(lane, 0.0):
                self._whole_next[lane] = now + self._whole_at_least
                return {}, True
            positions = dict(self._positions.get(lane, {}))
        if in_full_flow:
            return positions, False
        return {priority: _back(position) for priority, position in positions.items()}, False

    def places(self) -> list[tuple[str, int, Position]]:
        """Where to look back to, for each lane that was claimed from and each priority."""
        with self._lock:
            known = [(lane, dict(positions)) for lane, positions in self._positions.items()]
        return [
            (lane, priority.value, _back(positions[priority]) if priority in positions else START)
            for lane, positions in known
            for priority in Priority
        ]

    def advance(self, lane: str, claims: Sequence[Claim], *, whole: bool, took: float) -> None:
        """Move past what was claimed; `took`: seconds."""
        with self._lock:
            if whole:
                self._whole_next[lane] = monotonic() + min(WHOLE_AT_MOST, max(self._whole_at_least, WHOLE_SHARE * took))
            positions = self._positions.setdefault(lane, {})
            for claim in claims:
                if claim.due_at is None:
                    continue
                known = positions.get(claim.priority)
                if known is None or (claim.due_at, claim.id) > (known.due_at, known.id):
                    positions[claim.priority] = Position(claim.due_at, claim.id)


def _back(position: Position) -> Position:
    return Position(position.due_at - LOOK_BACK, UUID(int=0))
