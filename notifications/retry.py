"""What follows an attempt: the only authority on trying again. A pure function of its arguments."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from notifications.states import Event, Outcome, Status

MAX_TRIES: Final = 15  # with the delays below about three and a half hours: longer than most providers' bad afternoons
BASE_DELAY: Final = timedelta(seconds=4)  # doubled at each try
MAX_DELAY: Final = timedelta(hours=1)  # past this, waiting longer helps nobody and hides the recovery


@dataclass(frozen=True, slots=True)
class Decision:
    """One edge out of `sending`."""

    event: Event
    status: Status
    delay: timedelta = timedelta(0)  # until the next try, where the status is pending
    costs_try: bool = False
    possible_duplicate: bool = False  # whether a later attempt may double this one


ACCEPTED: Final = Decision(Event.ACCEPTED, Status.SENT)


def decide(
    outcome: Outcome,
    *,
    tries: int,
    hold_unknown: bool,
    retry_after: timedelta | None = None,
    expires_in: timedelta | None = None,
    max_tries: int = MAX_TRIES,
    chance: random.Random | None = None,
) -> Decision:
    """Decide what becomes of a claimed notification.

    `tries`: spent before this attempt, of `max_tries`. `hold_unknown`: the channel's policy for unknown outcomes.
    `retry_after`: the provider's wish, a lower bound. `expires_in`: what is left of its life; a try that would come
    later is not made.
    """
    match outcome:
        case Outcome.ACCEPTED:
            return ACCEPTED
        case Outcome.PERMANENT:
            return Decision(Event.GIVE_UP, Status.FAILED)
        case Outcome.RELEASED:
            return Decision(Event.RELEASE, Status.PENDING)
        case Outcome.RATE_LIMITED:
            return _later(Event.RETRY, retry_after or BASE_DELAY, expires_in, costs_try=False)
        case Outcome.TRANSIENT:
            if tries + 1 >= max_tries:
                return Decision(Event.GIVE_UP, Status.FAILED, costs_try=True)
            return _later(Event.RETRY, _backoff(tries, retry_after, chance), expires_in, costs_try=True)
        case Outcome.IN_DOUBT | Outcome.UNEXPECTED:
            # What a bug of ours interrupted may have been sent as well: it gets the same care.
            if hold_unknown or tries + 1 >= max_tries:
                return Decision(Event.IN_DOUBT, Status.UNKNOWN, costs_try=True, possible_duplicate=True)
            delay = _backoff(tries, retry_after, chance)
            if expires_in is not None and delay >= expires_in:
                return Decision(Event.IN_DOUBT, Status.UNKNOWN, costs_try=True, possible_duplicate=True)
            return Decision(Event.IN_DOUBT, Status.PENDING, delay, costs_try=True, possible_duplicate=True)
        case Outcome.LOST:
            raise ValueError(
                "a lost attempt is decided by recovery, in one statement for all of a dead worker's claims"
            )
        case _:
            assert_never(outcome)


def _later(event: Event, delay: timedelta, expires_in: timedelta | None, *, costs_try: bool) -> Decision:
    if expires_in is not None and delay >= expires_in:
        return Decision(Event.EXPIRE, Status.FAILED, costs_try=costs_try)
    return Decision(event, Status.PENDING, delay, costs_try=costs_try)


def _backoff(tries: int, retry_after: timedelta | None, chance: random.Random | None) -> timedelta:
    """Exponential with full jitter: those who failed together do not return together. At least `retry_after`."""
    doublings: int = min(tries, 20)  # far past the ceiling, and short of what a timedelta holds
    ceiling = min(MAX_DELAY, BASE_DELAY * (1 << doublings))
    delay = ceiling * (chance or random).random()
    return max(delay, retry_after or timedelta(0))
