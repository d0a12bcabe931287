from __future__ import annotations

import random
from datetime import timedelta

import pytest

from notifications.retry import BASE_DELAY, MAX_DELAY, MAX_TRIES, Decision, decide
from notifications.states import TRANSITIONS, Event, Outcome, Status

DECIDED_HERE = [outcome for outcome in Outcome if outcome is not Outcome.LOST]


class Highest(random.Random):
    """Jitter at its upper end."""

    def random(self) -> float:
        return 1.0


def decision(outcome: Outcome, **given: object) -> Decision:
    return decide(outcome, **{"tries": 0, "hold_unknown": False, "chance": Highest(), **given})  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", DECIDED_HERE)
@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("tries", [0, MAX_TRIES - 1])
@pytest.mark.parametrize("expires_in", [None, timedelta(0), timedelta(days=9)])
def test_every_decision_is_an_edge_of_the_state_table(
    outcome: Outcome, hold: bool, tries: int, expires_in: timedelta | None
) -> None:
    made = decision(outcome, hold_unknown=hold, tries=tries, expires_in=expires_in)

    assert made.status in TRANSITIONS[Status.SENDING, made.event]


@pytest.mark.parametrize(
    ("outcome", "event", "status"),
    [
        (Outcome.ACCEPTED, Event.ACCEPTED, Status.SENT),
        (Outcome.PERMANENT, Event.GIVE_UP, Status.FAILED),
        (Outcome.TRANSIENT, Event.RETRY, Status.PENDING),
        (Outcome.RATE_LIMITED, Event.RETRY, Status.PENDING),
        (Outcome.RELEASED, Event.RELEASE, Status.PENDING),
        (Outcome.IN_DOUBT, Event.IN_DOUBT, Status.PENDING),
        (Outcome.UNEXPECTED, Event.IN_DOUBT, Status.PENDING),
    ],
)
def test_what_follows_a_first_attempt_under_resend(outcome: Outcome, event: Event, status: Status) -> None:
    made = decision(outcome)

    assert (made.event, made.status) == (event, status)


@pytest.mark.parametrize("outcome", [Outcome.IN_DOUBT, Outcome.UNEXPECTED])
def test_under_hold_a_doubt_is_parked_as_unknown(outcome: Outcome) -> None:
    assert decision(outcome, hold_unknown=True).status is Status.UNKNOWN


def test_the_last_transient_try_fails() -> None:
    assert decision(Outcome.TRANSIENT, tries=MAX_TRIES - 1).status is Status.FAILED


def test_the_last_doubtful_try_is_unknown_and_never_failed() -> None:
    assert decision(Outcome.IN_DOUBT, tries=MAX_TRIES - 1).status is Status.UNKNOWN


def test_the_delay_doubles_up_to_its_ceiling() -> None:
    delays = [decision(Outcome.TRANSIENT, tries=n).delay for n in range(MAX_TRIES - 1)]

    assert delays[:4] == [BASE_DELAY, BASE_DELAY * 2, BASE_DELAY * 4, BASE_DELAY * 8]
    assert delays[-1] == MAX_DELAY
    assert delays == sorted(delays)


def test_jitter_spreads_over_the_whole_delay() -> None:
    delays = [decide(Outcome.TRANSIENT, tries=3, hold_unknown=False).delay for _ in range(500)]

    assert min(delays) < BASE_DELAY
    assert max(delays) > BASE_DELAY * 7
    assert max(delays) <= BASE_DELAY * 8


def test_the_providers_wish_is_a_lower_bound() -> None:
    assert decision(Outcome.TRANSIENT, retry_after=timedelta(minutes=7)).delay == timedelta(minutes=7)


def test_a_rate_limit_waits_just_as_long_as_asked_and_costs_no_try() -> None:
    made = decision(Outcome.RATE_LIMITED, retry_after=timedelta(seconds=30), tries=MAX_TRIES)

    assert (made.delay, made.costs_try, made.status) == (timedelta(seconds=30), False, Status.PENDING)


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.RATE_LIMITED])
def test_a_try_that_would_come_after_the_end_is_not_made(outcome: Outcome) -> None:
    made = decision(outcome, expires_in=timedelta(seconds=1))

    assert (made.event, made.status) == (Event.EXPIRE, Status.FAILED)


def test_a_doubt_with_no_time_left_is_unknown() -> None:
    assert decision(Outcome.IN_DOUBT, expires_in=timedelta(seconds=1)).status is Status.UNKNOWN


@pytest.mark.parametrize("outcome", [Outcome.IN_DOUBT, Outcome.UNEXPECTED])
def test_only_what_may_have_been_sent_marks_the_next_attempt(outcome: Outcome) -> None:
    assert decision(outcome).possible_duplicate
    assert not decision(Outcome.TRANSIENT).possible_duplicate


def test_a_loss_is_not_decided_here() -> None:
    with pytest.raises(ValueError, match="recovery"):
        decision(Outcome.LOST)


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.IN_DOUBT])
def test_a_channel_may_have_more_tries_than_the_others(outcome: Outcome) -> None:
    assert decision(outcome, tries=MAX_TRIES, max_tries=MAX_TRIES + 2).status is Status.PENDING
    assert decision(outcome, tries=MAX_TRIES + 1, max_tries=MAX_TRIES + 2).status is not Status.PENDING
