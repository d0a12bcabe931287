"""What follows an attempt: the only authority on trying again. A pure function of its arguments."""

from __future__ import annotations

import random
from collections.abc import Sequence
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
    possible_duplicate: bool = False  # whether a later attempt may double this one, or one before it
    backend: str | None = None  # whose turn is next, by its name in the channel ("" for the first); None: the same
    under_key: bool = False  # in doubt, and not marked: the provider knows the next send by its key


ACCEPTED: Final = Decision(Event.ACCEPTED, Status.SENT)


def decide(
    outcome: Outcome,
    *,
    tries: int,
    hold_unknown: bool,
    retry_after: timedelta | None = None,
    expires_in: timedelta | None = None,
    max_tries: int = MAX_TRIES,
    backends: Sequence[str] = (),
    current: str = "",
    key_left: timedelta | None = None,
    unsettled: bool = False,
    chance: random.Random | None = None,
) -> Decision:
    """Decide what becomes of a claimed notification.

    `tries`: spent before this attempt, of `max_tries`. `hold_unknown`: the channel's policy for unknown outcomes.
    `retry_after`: the provider's wish, a lower bound. `expires_in`: what is left of its life; a try that would come
    later is not made.

    `backends`: the names of those that would take it, in the channel's order, `current` among them; empty where there
    is but one. The first round over all of them is made without delay, then each try waits, and they take turns.
    `key_left`: for how long a new send by this backend would be known to the provider by its key, less such a send's
    deadline; None where it takes no key. `unsettled`: an earlier send under the key may have been taken.
    """
    match outcome:
        case Outcome.ACCEPTED:
            return ACCEPTED
        case Outcome.PERMANENT:
            return Decision(Event.GIVE_UP, Status.FAILED, possible_duplicate=unsettled)
        case Outcome.RELEASED:
            return Decision(Event.RELEASE, Status.PENDING)
        case Outcome.RATE_LIMITED:
            asked = retry_after or BASE_DELAY
            following = _Following(same=asked, other=asked)
        case Outcome.TRANSIENT | Outcome.IN_DOUBT | Outcome.UNEXPECTED:
            following = _following(tries, max_tries, retry_after, backends, current, chance)
        case Outcome.LOST:
            raise ValueError(
                "a lost attempt is decided by recovery, in one statement for all of a dead worker's claims"
            )
        case _:
            assert_never(outcome)
    # What a bug of ours interrupted may have been sent as well: it gets the same care.
    in_doubt = outcome in {Outcome.IN_DOUBT, Outcome.UNEXPECTED}
    if in_doubt or unsettled:
        return _doubtful(following, in_doubt=in_doubt, hold=hold_unknown, key_left=key_left, expires_in=expires_in)
    return _certain(following, expires_in)


def without_send(*, hold_unknown: bool) -> Decision:
    """For a claim whose provider has forgotten its key, or may have before the send ends: it is not sent unmarked.

    Under `resend` it is claimed anew, with the mark in its row before anything is sent.
    """
    if hold_unknown:
        return Decision(Event.IN_DOUBT, Status.UNKNOWN, possible_duplicate=True)
    return Decision(Event.RELEASE, Status.PENDING, possible_duplicate=True)


@dataclass(frozen=True, slots=True)
class _Following:
    """What may follow, as far as tries and backends go."""

    same: timedelta  # until a new try by this backend
    other: timedelta  # until the next backend's try; where there is no other, the same
    turn: str | None = None  # the next backend; None: there is no other
    tries_left: bool = True
    costs_try: bool = False


def _following(
    tries: int,
    max_tries: int,
    retry_after: timedelta | None,
    backends: Sequence[str],
    current: str,
    chance: random.Random | None,
) -> _Following:
    # Those of the first round took no time, so that they count for none of the waiting.
    backoff = _backoff(max(0, tries - max(0, len(backends) - 1)), chance)
    same = max(backoff, retry_after or timedelta(0))
    turn, other = None, same
    if len(backends) > 1:
        turn = backends[(backends.index(current) + 1) % len(backends)]
        other = timedelta(0) if tries + 1 < len(backends) else backoff
    return _Following(same, other, turn, tries_left=tries + 1 < max_tries, costs_try=True)


def _certain(following: _Following, expires_in: timedelta | None) -> Decision:
    """Of what was certainly not sent."""
    if not following.tries_left:
        return Decision(Event.GIVE_UP, Status.FAILED, costs_try=following.costs_try)
    if not _in_time(following.other, expires_in):
        return Decision(Event.EXPIRE, Status.FAILED, costs_try=following.costs_try)
    return Decision(Event.RETRY, Status.PENDING, following.other, costs_try=following.costs_try, backend=following.turn)


def _doubtful(
    following: _Following, *, in_doubt: bool, hold: bool, key_left: timedelta | None, expires_in: timedelta | None
) -> Decision:
    """Of what may have been sent: by this attempt (`in_doubt`), or by one before it under the provider's key."""
    same, other, costs_try = following.same, following.other, following.costs_try
    event = Event.IN_DOUBT if in_doubt else Event.RETRY
    # While nobody knows the key is the best way. A provider that is away is left for another, where it may double.
    leaves = not in_doubt and following.turn is not None and not hold
    known_again = key_left is not None and same < key_left and _in_time(same, expires_in)
    if following.tries_left and known_again and not leaves:
        return Decision(event, Status.PENDING, same, costs_try=costs_try, under_key=True)
    if hold or not following.tries_left or not _in_time(other, expires_in):
        return Decision(Event.IN_DOUBT, Status.UNKNOWN, costs_try=costs_try, possible_duplicate=True)
    return Decision(event, Status.PENDING, other, costs_try=costs_try, possible_duplicate=True, backend=following.turn)


def _in_time(delay: timedelta, expires_in: timedelta | None) -> bool:
    return expires_in is None or delay < expires_in


def _backoff(tries: int, chance: random.Random | None) -> timedelta:
    """Exponential with full jitter: those who failed together do not return together."""
    doublings: int = min(tries, 20)  # far past the ceiling, and short of what a timedelta holds
    ceiling = min(MAX_DELAY, BASE_DELAY * (1 << doublings))
    return ceiling * (chance or random).random()
