"""The state table: which event moves a notification from which status to which.

Who moves it next:
  pending    a worker, when `due_at` has come (or the relay, when it expires first)
  sending    the worker that claimed it; the relay of another one, should that worker die
  sent       the provider's receipts, where it gives any; otherwise this is the end
  unknown    a receipt, a look-up or an operator: nobody knows whether it was sent
  failed     an operator, by a replay
  delivered, canceled: nobody
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Status(enum.StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELED = "canceled"


FINISHED = frozenset({Status.SENT, Status.DELIVERED, Status.FAILED, Status.CANCELED})
OPEN = frozenset(Status) - FINISHED
WEBHOOK_EVENTS = (Status.SENT, Status.DELIVERED, Status.FAILED, Status.UNKNOWN)  # what a client can be told of


class Event(enum.StrEnum):
    CLAIM = "claim"
    ACCEPTED = "accepted"
    RETRY = "retry"
    GIVE_UP = "give_up"
    RELEASE = "release"  # never started: SIGTERM, a pause, a lease in doubt, a dead worker
    IN_DOUBT = "in_doubt"  # sent perhaps: no answer came
    LOST = "lost"  # sent perhaps: the worker died
    EXPIRE = "expire"
    SUPPRESS = "suppress"
    RESCHEDULE = "reschedule"
    DIVERT = "divert"  # to another backend of the channel: its own stands paused by what its provider answered
    LATE_SUCCESS = "late_success"  # of the very attempt that is in doubt
    DELIVERED = "delivered"  # by receipt or look-up
    UNDELIVERED = "undelivered"  # by receipt or look-up
    REPLAY = "replay"
    CANCEL = "cancel"


class Outcome(enum.StrEnum):
    """What came of an attempt; every claim ends in exactly one."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    RATE_LIMITED = "rate_limited"
    RELEASED = "released"
    IN_DOUBT = "in_doubt"
    LOST = "lost"
    UNEXPECTED = "unexpected"


class Reason(enum.StrEnum):
    """Why nothing is sent to a recipient."""

    OPT_OUT = "opt_out"  # it told its provider to have no more
    HARD_BOUNCE = "hard_bounce"  # there is no such recipient, says the provider
    MANUAL = "manual"  # somebody wants it so


class Priority(enum.IntEnum):
    HIGH = 0
    NORMAL = 1
    LOW = 2


_S, _E = Status, Event

# An event in doubt leads to pending under the policy `resend`, to unknown under `hold` or when the budget is spent.
# What expires is unknown where an earlier send under its provider's key is in doubt.
TRANSITIONS: Mapping[tuple[Status, Event], frozenset[Status]] = {
    (_S.PENDING, _E.CLAIM): frozenset({_S.SENDING}),
    (_S.PENDING, _E.EXPIRE): frozenset({_S.FAILED, _S.UNKNOWN}),
    (_S.PENDING, _E.SUPPRESS): frozenset({_S.FAILED}),
    (_S.PENDING, _E.RESCHEDULE): frozenset({_S.PENDING}),
    (_S.PENDING, _E.DIVERT): frozenset({_S.PENDING}),
    (_S.PENDING, _E.CANCEL): frozenset({_S.CANCELED}),
    (_S.PENDING, _E.DELIVERED): frozenset({_S.DELIVERED}),
    (_S.SENDING, _E.ACCEPTED): frozenset({_S.SENT}),
    (_S.SENDING, _E.RETRY): frozenset({_S.PENDING}),
    (_S.SENDING, _E.GIVE_UP): frozenset({_S.FAILED}),
    (_S.SENDING, _E.EXPIRE): frozenset({_S.FAILED, _S.UNKNOWN}),
    (_S.SENDING, _E.SUPPRESS): frozenset({_S.FAILED}),
    (_S.SENDING, _E.RELEASE): frozenset({_S.PENDING}),
    (_S.SENDING, _E.IN_DOUBT): frozenset({_S.PENDING, _S.UNKNOWN}),
    (_S.SENDING, _E.LOST): frozenset({_S.PENDING, _S.UNKNOWN}),
    (_S.SENDING, _E.DELIVERED): frozenset({_S.DELIVERED}),
    (_S.SENT, _E.DELIVERED): frozenset({_S.DELIVERED}),
    (_S.SENT, _E.UNDELIVERED): frozenset({_S.FAILED}),
    (_S.UNKNOWN, _E.LATE_SUCCESS): frozenset({_S.SENT}),
    (_S.UNKNOWN, _E.DELIVERED): frozenset({_S.DELIVERED}),
    (_S.UNKNOWN, _E.UNDELIVERED): frozenset({_S.FAILED}),
    (_S.UNKNOWN, _E.REPLAY): frozenset({_S.PENDING}),
    (_S.UNKNOWN, _E.CANCEL): frozenset({_S.CANCELED}),
    (_S.FAILED, _E.DELIVERED): frozenset({_S.DELIVERED}),
    (_S.FAILED, _E.REPLAY): frozenset({_S.PENDING}),
    (_S.FAILED, _E.CANCEL): frozenset({_S.CANCELED}),
}


def sources(event: Event) -> frozenset[Status]:
    """The statuses from which `event` leads anywhere."""
    return frozenset(status for status, known in TRANSITIONS if known is event)
