"""Everybody around the outbox: workers with what each believes, a provider that knows what really reached it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Final
from uuid import UUID

from django.db import connection

from channels.registry import channel_of
from notifications import retry
from notifications.outbox import workers
from notifications.outbox.claim import Claim
from notifications.outbox.keys import since_first_send
from notifications.outbox.record import Result
from notifications.states import Event, Outcome, Status
from tests.integration.outbox import rows

from . import edges
from .actions import HOUR

Attempt = tuple[UUID, int]  # notification, number

# What a worker hears of a send, and whether the provider took it.
FATES: Final = {
    "taken": (Outcome.ACCEPTED, True),
    "taken, and the answer lost": (Outcome.IN_DOUBT, True),
    "lost on the way": (Outcome.IN_DOUBT, False),
    "busy": (Outcome.TRANSIENT, False),
    "too many": (Outcome.RATE_LIMITED, False),
    "refused": (Outcome.PERMANENT, False),
    "a bug of ours, once it was taken": (Outcome.UNEXPECTED, True),
}
WAIT: Final = HOUR  # before what is tried again: whole hours, that nothing falls due by itself meanwhile
BACKENDS: Final = {"slack:ops": "", "slack@spare:ops": "spare"}  # of the one channel that has several


class NoJitter(Random):
    """Another backend is tried at once, in whatever round."""

    def random(self) -> float:
        return 0.0


AT_ONCE: Final = NoJitter()


@dataclass
class Hand:
    """A claim that a worker holds, or believes to hold."""

    claim: Claim
    lane: str
    may_send: bool
    hour: int  # of the claim
    result: Result | None = None

    @property
    def attempt(self) -> Attempt:
        return self.claim.id, self.claim.attempt


@dataclass
class Worker:
    """A process. It may be slow to learn what has become of its lease and its claims; `hands` is all it knows."""

    id: UUID
    seen: dict[UUID, int] = field(default_factory=dict)  # beats of the others, at its last look
    hands: dict[Attempt, Hand] = field(default_factory=dict)

    def register(self) -> None:
        connection.ensure_connection()
        workers.register(connection.connection, self.id, host="", pid=1)

    def take(self, claims: list[Claim], *, lane: str, started: bool, hour: int) -> None:
        for claim in claims:
            hand = Hand(claim, lane, may_send=started, hour=hour)
            self.hands[hand.attempt] = hand

    def forget(self, hour: int) -> None:
        """What it claimed by then: nobody is paused for as long as finished notifications are kept."""
        self.hands = {attempt: hand for attempt, hand in self.hands.items() if hand.hour > hour}

    def grow_old(self, hours: int) -> None:
        """What it knows was so long ago."""
        for hand in self.known():
            if (result := hand.result) is not None:
                then = {"started": result.started - 3600 * hours, "finished": result.finished - 3600 * hours}
                hand.result = result._replace(**then)

    def unsent(self) -> list[Hand]:
        return [hand for hand in self.hands.values() if hand.result is None]

    def to_begin(self) -> list[Hand]:
        """Claims whose send must be marked first, and that it believes to be under its lease."""
        return [hand for hand in self.unsent() if not hand.may_send and hand.claim.worker_id == self.id]

    def to_send(self) -> list[Hand]:
        return [hand for hand in self.unsent() if hand.may_send and hand.claim.worker_id == self.id]

    def known(self) -> list[Hand]:
        return [hand for hand in self.hands.values() if hand.result is not None]

    def batch(self, order: Sequence[int] | None = None) -> list[Hand]:
        """What it knows of a backend, or of that some in this order; of one notification one result, as in any thread's
        batch."""
        known = self.known()
        known = [hand for hand in known if hand.lane == known[0].lane]
        some = known if order is None else [known[number] for number in order if number < len(known)]
        return list({hand.claim.id: hand for hand in some or known[:1]}.values())


@dataclass
class World:
    hour: int = 0
    workers: list[Worker] = field(default_factory=list)
    accepted: set[UUID] = field(default_factory=set)
    taken: set[Attempt] = field(default_factory=set)  # by the provider
    keys: dict[UUID, int] = field(default_factory=dict)  # when it first took one under its key, the hour
    over: dict[Attempt, bool] = field(default_factory=dict)  # its last word on one: whether it was delivered
    _made: int = 0

    def new_id(self) -> UUID:
        """In the order of time, as the service's own are, and the same in every run; long ago, so that a purge asks
        only when it was finished."""
        self._made += 1
        return UUID(int=(1_600_000_000_000 << 80) | (7 << 76) | (2 << 62) | self._made)

    def send(self, hand: Hand, fate: str) -> None:
        """What a thread does with a claim that it may send. The database hears nothing of it yet."""
        left, key_left = self._left(hand, hand.claim.expires_in), self._left(hand, hand.claim.key_left)
        policy = rows.RESEND[channel_of(hand.lane)]
        unsent = self._unsent(left, key_left, hold=policy.hold_unknown)
        if unsent is not None:
            hand.result = rows.result(hand.claim, Outcome.RELEASED, decision=unsent)
            return
        if hand.claim.suppressed:
            hand.result = rows.result(
                hand.claim, Outcome.RELEASED, decision=retry.Decision(Event.SUPPRESS, Status.FAILED)
            )
            return
        outcome, taken = FATES[fate]
        if taken and not self._knows(hand):
            self.taken.add(hand.attempt)
            self.keys[hand.claim.id] = self.hour
        if key_left is None and policy.deduplicates_for and outcome in edges.DOUBTFUL:
            key_left = policy.deduplicates_for - since_first_send(hand.claim.id, policy.backend)
        decision = retry.decide(
            outcome,
            tries=hand.claim.tries,
            hold_unknown=policy.hold_unknown,
            retry_after=WAIT,
            expires_in=left,
            backends=list(BACKENDS.values()) if hand.lane in BACKENDS else [],
            current=BACKENDS.get(hand.lane, ""),
            key_left=key_left,
            unsettled=hand.claim.key_left is not None,
            chance=AT_ONCE,
        )
        under_key = key_left is not None and decision.under_key and outcome in edges.DOUBTFUL
        whither = [lane for lane, name in BACKENDS.items() if name == decision.backend]
        hand.result = rows.result(
            hand.claim,
            outcome,
            decision=decision,
            backend=policy.backend,
            lane="".join(whither),
            key_left=key_left.total_seconds() if key_left and under_key else None,
        )

    def give_back(self, hand: Hand) -> None:
        """Its send never began: the process stops, or its lease is in doubt."""
        hand.result = rows.result(hand.claim, Outcome.RELEASED)

    def reached(self, id_: UUID) -> list[int]:
        """The attempts by which the recipient has it, or may yet get it."""
        return sorted(number for taken, number in self.taken if taken == id_ and self.over.get((id_, number), True))

    def unreported(self) -> list[Attempt]:
        return sorted(self.taken - self.over.keys())

    def _knows(self, hand: Hand) -> bool:
        """Whether the provider knows this send by its key, as it took one before."""
        life, since = rows.RESEND[channel_of(hand.lane)].deduplicates_for, self.keys.get(hand.claim.id)
        return life is not None and since is not None and (self.hour - since) * HOUR < life

    def _unsent(self, left: timedelta | None, key_left: timedelta | None, *, hold: bool) -> retry.Decision | None:
        """What becomes of a claim whose send must not begin; None where it may."""
        if left is not None and left <= timedelta(0):
            status = Status.FAILED if key_left is None else Status.UNKNOWN
            return retry.Decision(Event.EXPIRE, status, possible_duplicate=key_left is not None)
        if key_left is not None and key_left <= timedelta(0):
            return retry.without_send(hold_unknown=hold)
        return None

    def _left(self, hand: Hand, seconds: float | None) -> timedelta | None:
        """Of what was left at the claim."""
        return None if seconds is None else timedelta(seconds=seconds) - (self.hour - hand.hour) * HOUR
