"""Where the next claim of a lane begins to look, for each priority and client.

While some session holds an old snapshot, vacuum removes nothing, and a scan from the start of what is ready walks every
entry that was ever claimed since. Beginning at the last claimed key costs nothing. Behind it lie only late commits and
rows that another session held, so a drain looks back a little whenever it is not in full flow, and all the way back at
intervals that grow with the price of such a scan.

A client has a cursor of its own while it may have more than its share of a claim. All others have one in common.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, pairwise
from time import monotonic
from typing import Final
from uuid import UUID

from notifications.outbox.claim import Claim
from notifications.outbox.stretches import EVERYWHERE, FIRST, LAST, START, Position, Stretch
from notifications.states import Priority

LOOK_BACK: Final = timedelta(seconds=30)  # longer than accepting transactions last, but for exceptional ones
# In full flow, for clients without a cursor: they have nothing waiting, so that what they commit is due at the moment.
LOOK_BACK_IN_FLOW: Final = timedelta(seconds=1)
WHOLE_AT_LEAST: Final = 5.0  # seconds between scans from the start
WHOLE_SHARE: Final = 20  # and this many times what the last one took: at most a twentieth of the time goes into them
WHOLE_AT_MOST: Final = 60.0  # seconds: what made the last one slow may have been a lock or a stall, which is no price
MOST_CLIENTS: Final = 1000  # with a cursor of their own, in each lane and priority
# Which priority fills a claim first, and which then.
ORDER: Final = {
    Priority.HIGH: (Priority.HIGH, Priority.NORMAL, Priority.LOW),
    Priority.NORMAL: (Priority.NORMAL, Priority.LOW, Priority.HIGH),
    Priority.LOW: (Priority.LOW, Priority.NORMAL, Priority.HIGH),
}


@dataclass
class Front:
    """How far one priority of a lane was claimed."""

    since: datetime = START.due_at  # of all clients that have no cursor of their own: what was due before
    reached: dict[int, Position] = field(default_factory=dict)  # by client
    turn: int = FIRST  # the client behind whom the next claim begins: one may be too small for all

    def stretches(self, priority: Priority, *, in_full_flow: bool) -> list[Stretch]:
        clients = sorted(self.reached)
        since = self.since - (LOOK_BACK_IN_FLOW if in_full_flow else LOOK_BACK)
        reached = {client: at if in_full_flow else _back(at) for client, at in self.reached.items()}
        all_round = [
            Stretch(priority, low, high, since, reached.get(high)) for low, high in pairwise([FIRST, *clients, LAST])
        ]
        turn = bisect_right(clients, self.turn)
        return all_round[turn:] + all_round[:turn]

    def advance(self, claims: Sequence[Claim]) -> None:
        """Move past what was claimed of this priority."""
        deep = []
        for claim in claims:
            if claim.due_at is None:
                continue
            at = Position(claim.due_at, claim.id)
            self.reached[claim.client_id] = max(at, self.reached.get(claim.client_id, at))
            if claim.more:
                deep.append(claim.client_id)
            else:
                self.forget(claim.client_id)
        if deep:
            final = max(deep, key=lambda client: (client <= self.turn, client))
            taken = Counter(claim.client_id for claim in claims)
            # Who came off badly because the batch was full comes first next time.
            self.turn = final - 1 if taken[final] < max(taken.values()) else final
        if len(self.reached) > MOST_CLIENTS:
            self.since = min(self.since, *(at.due_at for at in self.reached.values()))
            self.reached.clear()

    def forget(self, client: int) -> None:
        """It has nothing left."""
        self.since = max(self.since, self.reached.pop(client).due_at)


class Cursors:
    """The cursors of one worker process; shared by its threads."""

    def __init__(self, *, whole_at_least: float = WHOLE_AT_LEAST) -> None:
        self._whole_at_least = whole_at_least
        self._lock = threading.Lock()
        self._fronts: dict[str, dict[Priority, Front]] = {}
        self._whole_next: dict[str, float] = {}

    def begin(
        self, lane: str, *, in_full_flow: bool, first: Priority = Priority.HIGH
    ) -> tuple[Sequence[Stretch], bool]:
        """Where to look now, `first` first, and whether that is a scan from the start (to be given to `advance`)."""
        now = monotonic()
        with self._lock:
            fronts = self._fronts.get(lane)
            whole = now >= self._whole_next.get(lane, 0.0)
            if whole:
                self._whole_next[lane] = now + self._whole_at_least
            if whole or fronts is None:
                return [EVERYWHERE[priority] for priority in ORDER[first]], whole
            found = [fronts[priority].stretches(priority, in_full_flow=in_full_flow) for priority in ORDER[first]]
        return list(chain.from_iterable(found)), False

    def places(self) -> list[tuple[str, Stretch]]:
        """Where to look back to, for each lane that was claimed from."""
        with self._lock:
            return [
                (lane, stretch)
                for lane, fronts in self._fronts.items()
                for priority, front in fronts.items()
                for stretch in front.stretches(priority, in_full_flow=False)
            ]

    def advance(self, lane: str, claims: Sequence[Claim], *, whole: bool, took: float) -> None:
        """Move past what was claimed; `took`: seconds."""
        more = any(claim.more for claim in claims)
        with self._lock:
            if whole:
                self._whole_next[lane] = monotonic() + min(WHOLE_AT_MOST, max(self._whole_at_least, WHOLE_SHARE * took))
            for priority, front in self._fronts.setdefault(lane, {each: Front() for each in Priority}).items():
                front.advance([claim for claim in claims if claim.priority == priority])
                if claims and not more:  # all was looked at, and nobody has anything left
                    for client in list(front.reached):
                        front.forget(client)


def _back(position: Position) -> Position:
    return Position(position.due_at - LOOK_BACK, UUID(int=0))
