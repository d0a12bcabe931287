"""Before a claim: whether the lane may send now, and how much. After it: what the answers say of the lane.

What all workers must know stands in `lane_state`. What one process can know by itself is kept here in memory, so that
a lane that is open and not paced costs no statement: how many sends failed in a row, and how often the lane was closed,
by which threads with claims in hand learn at once that another of them was told to stop.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from django.db import Error as DatabaseError

from channels.contract import ChannelError, PermanentError, Refused, TransientError
from channels.registry import Channel
from notifications import nudge, pauses
from notifications.outbox import lanes, tokens
from notifications.outbox.lanes import Probe
from notifications.outbox.statement import give_back

# In one process. Fewer would close a lane for a hiccup; each more is one more send of each process into an outage.
FAILURES: Final = 5
# Beyond the send's own deadline, for the claim before it and the statements after it.
PROBE_MARGIN: Final = timedelta(seconds=10)
TOKEN_LIFE: Final = 1.0  # seconds: sent later, what was taken would come together with what others take then

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Lane:
    """What one process knows of a lane."""

    closings: int = 0  # how often it was closed, as far as is known here
    failures: int = 0  # transient ones in a row
    opens_at: float = 0.0  # by our monotonic clock: when the last of its pauses ends


@dataclass(slots=True)
class Entry:
    """Leave to claim and send; or none, where `most` is 0."""

    lane: str
    state: Lane
    closings: int  # of the lane, before the claim
    worker_id: UUID
    channel: Channel
    most: int
    probing: bool = False
    tokens: int = 0
    until: float | None = None  # of the monotonic clock: when the tokens are too old
    again_in: float | None = None  # seconds after which to ask again; None: whoever closed the lane sees to that

    def is_over(self, sent: int) -> bool:
        """Whether what is in hand is to be given back; one is sent with its token, however long the claim took."""
        return self.state.closings != self.closings or (
            self.until is not None and sent > 0 and monotonic() > self.until
        )


class Gate:
    """Shared by the threads of one worker process."""

    def __init__(self) -> None:
        self.troubled: frozenset[str] = frozenset()  # lanes that an answer closed, and no success has opened
        self._lanes: dict[str, Lane] = defaultdict(Lane)
        self._lock = threading.Lock()

    def learn(self, troubled: frozenset[str], *, among: Collection[str] | None = None) -> None:
        """What the relay has read in the database, of all lanes or `among` some."""
        before = self.troubled
        known = troubled if among is None else troubled | (before - frozenset(among))
        for lane in known - before:
            self._lanes[lane].closings += 1  # by another process: what is in hand here is to be given back
        self.troubled = known

    def enter(self, lane: str, channel: Channel, worker_id: UUID, *, most: int) -> Entry:
        """Ask for leave to claim up to `most`; to be given back by `leave`. Raises nothing."""
        state = self._lanes[lane]
        entry = Entry(lane, state, state.closings, worker_id, channel, most)
        if lane not in self.troubled and channel.rate is None:
            return entry
        try:
            self._may_probe(entry)
            self._take_tokens(entry)
        except DatabaseError as error:
            log.warning("lane.not_entered", lane=lane, error=type(error).__name__)
            entry.most = 0
        finally:
            give_back()
        if not entry.most:
            self.leave(entry, sent=0)
        return entry

    def leave(self, entry: Entry, *, sent: int) -> None:
        """Give back what is left of an entry; `sent`: how many sends began."""
        unused, entry.tokens = entry.tokens - sent, 0
        probing, entry.probing = entry.probing, False
        if not probing and unused <= 0:
            return
        try:
            if probing:
                lanes.end_probe(entry.lane, entry.worker_id)
            if unused > 0 and entry.channel.rate:
                tokens.give_back(entry.lane, unused, entry.channel.rate)
        except DatabaseError as error:
            # The probe ends by itself, the tokens are lost: a little less is sent than might be.
            log.warning("lane.not_left", lane=entry.lane, error=type(error).__name__)
        finally:
            give_back()

    def failed(self, entry: Entry, failure: ChannelError) -> bool:
        """What a send came to; whether the lane is closed by it."""
        if isinstance(failure, PermanentError) and failure.refuses is not Refused.DESTINATION:
            self.succeeded(entry)  # the provider has judged a message: it is there, and takes our word
            return False
        breaks = False
        if isinstance(failure, TransientError) and not failure.isolated:
            breaks = entry.probing or self._is_one_too_many(entry)
        seconds = pauses.after(failure, entry.lane, breaks=breaks)
        if seconds is None:
            return False
        with self._lock:
            entry.state.failures = 0
            # Only now: who claims before this is written must see it change, who claims after that gets nothing.
            entry.state.closings += 1
            entry.state.opens_at = max(entry.state.opens_at, monotonic() + seconds)
            self.troubled |= {entry.lane}
        return True

    def succeeded(self, entry: Entry) -> None:
        """To be called where something failed before, or this is a probe; else it changes nothing."""
        entry.state.failures = 0
        if entry.probing and pauses.end(entry.lane):
            entry.probing = False
            self._trust(entry.lane)
            nudge.request(entry.lane)  # whoever found it closed

    def _is_one_too_many(self, entry: Entry) -> bool:
        with self._lock:
            if entry.closings != entry.state.closings:
                return False  # it began before the lane was closed, perhaps by the same trouble
            entry.state.failures += 1
            return entry.state.failures >= FAILURES

    def _may_probe(self, entry: Entry) -> None:
        if entry.lane not in self.troubled:
            return
        match lanes.probe(entry.lane, entry.worker_id, entry.channel.backend.send_timeout + PROBE_MARGIN):
            case Probe.YES:
                entry.most, entry.probing = 1, True
            case Probe.NEEDLESS:
                self._trust(entry.lane)
            case Probe.NO:
                left = entry.state.opens_at - monotonic()
                entry.most, entry.again_in = 0, left if left > 0 else None

    def _take_tokens(self, entry: Entry) -> None:
        rate = entry.channel.rate
        if not entry.most or rate is None:
            return
        entry.tokens, next_in = tokens.take(entry.lane, min(entry.most, rate.burst), rate)
        entry.until = monotonic() + TOKEN_LIFE
        entry.most = entry.tokens
        if not entry.tokens:
            entry.again_in = next_in

    def _trust(self, lane: str) -> None:
        with self._lock:
            self.troubled -= {lane}
