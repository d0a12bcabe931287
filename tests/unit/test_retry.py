from __future__ import annotations

import random
from datetime import timedelta
from itertools import product

import pytest

from notifications.retry import BASE_DELAY, MAX_DELAY, MAX_TRIES, Decision, decide, without_send
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
    keys = (None, timedelta(0), timedelta(days=1))
    for backends, key_left, unsettled in product([(), ("", "one")], keys, [True, False]):
        given = {"backends": backends, "key_left": key_left, "unsettled": unsettled}
        made = decision(outcome, hold_unknown=hold, tries=tries, expires_in=expires_in, **given)

        assert made.status in TRANSITIONS[Status.SENDING, made.event], given


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


# --- several backends -----------------------------------------------------------------------------------------

THREE = ("", "one", "two")
KEY = timedelta(hours=23)


def turn(outcome: Outcome, **given: object) -> tuple[Status, str | None, timedelta]:
    made = decision(outcome, **{"backends": THREE, **given})
    return made.status, made.backend, made.delay


def test_an_outage_goes_to_the_next_at_once_through_the_first_round() -> None:
    assert turn(Outcome.TRANSIENT) == (Status.PENDING, "one", timedelta(0))
    assert turn(Outcome.TRANSIENT, tries=1, current="one") == (Status.PENDING, "two", timedelta(0))


def test_after_the_first_round_it_waits_and_begins_with_the_first_again() -> None:
    assert turn(Outcome.TRANSIENT, tries=2, current="two") == (Status.PENDING, "", BASE_DELAY)
    assert turn(Outcome.TRANSIENT, tries=3) == (Status.PENDING, "one", BASE_DELAY * 2)


def test_what_one_provider_wishes_does_not_hold_up_another() -> None:
    assert turn(Outcome.TRANSIENT, retry_after=timedelta(minutes=7)) == (Status.PENDING, "one", timedelta(0))


@pytest.mark.parametrize("outcome", [Outcome.IN_DOUBT, Outcome.UNEXPECTED])
def test_what_may_have_been_sent_goes_to_another_marked_and_only_under_resend(outcome: Outcome) -> None:
    assert turn(outcome) == (Status.PENDING, "one", timedelta(0))
    assert decision(outcome, backends=THREE).possible_duplicate
    assert turn(outcome, hold_unknown=True)[:2] == (Status.UNKNOWN, None)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.PERMANENT, Status.FAILED), (Outcome.RATE_LIMITED, Status.PENDING), (Outcome.RELEASED, Status.PENDING)],
)
def test_a_refusal_a_rate_limit_and_what_was_given_back_go_to_no_other(outcome: Outcome, status: Status) -> None:
    made = decision(outcome, backends=THREE)

    assert (made.status, made.backend) == (status, None)


def test_a_round_of_many_backends_costs_tries_like_any_other() -> None:
    assert turn(Outcome.TRANSIENT, tries=MAX_TRIES - 1)[:2] == (Status.FAILED, None)


def test_another_is_not_asked_after_its_life() -> None:
    assert turn(Outcome.TRANSIENT, expires_in=timedelta(0))[0] is Status.FAILED
    assert turn(Outcome.IN_DOUBT, expires_in=timedelta(0))[0] is Status.UNKNOWN


# --- a provider that takes a key ------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.IN_DOUBT, Outcome.UNEXPECTED])
@pytest.mark.parametrize("hold", [True, False])
def test_what_the_provider_knows_by_its_key_is_sent_again_by_it_without_a_mark(outcome: Outcome, hold: bool) -> None:
    made = decision(outcome, hold_unknown=hold, backends=THREE, key_left=KEY)

    assert (made.status, made.delay, made.backend) == (Status.PENDING, BASE_DELAY, None)
    assert (made.under_key, made.possible_duplicate, made.costs_try) == (True, False, True)


@pytest.mark.parametrize(
    "given",
    [
        {"key_left": BASE_DELAY},
        {"key_left": timedelta(hours=-1)},
        {"key_left": KEY, "tries": MAX_TRIES - 1},
        {"key_left": KEY, "expires_in": timedelta(seconds=1)},
    ],
)
def test_where_the_next_try_would_come_too_late_for_the_key_it_is_held(given: dict[str, object]) -> None:
    made = decision(Outcome.IN_DOUBT, hold_unknown=True, **given)

    assert (made.status, made.possible_duplicate, made.under_key) == (Status.UNKNOWN, True, False)


def test_where_the_next_try_would_come_too_late_for_the_key_it_is_marked_under_resend() -> None:
    made = decision(Outcome.IN_DOUBT, key_left=BASE_DELAY)

    assert (made.status, made.possible_duplicate, made.under_key) == (Status.PENDING, True, False)


def test_with_a_doubt_unsettled_another_is_asked_marked_or_under_hold_not_at_all() -> None:
    away = {"backends": THREE, "unsettled": True, "key_left": KEY}

    assert turn(Outcome.TRANSIENT, **away) == (Status.PENDING, "one", timedelta(0))
    assert decision(Outcome.TRANSIENT, **away).possible_duplicate
    held = decision(Outcome.TRANSIENT, hold_unknown=True, **away)
    assert (held.status, held.backend, held.under_key, held.possible_duplicate) == (Status.PENDING, None, True, False)
    assert turn(Outcome.TRANSIENT, **{**away, "key_left": None}, hold_unknown=True)[0] is Status.UNKNOWN


def test_a_rate_limit_longer_than_the_key_leaves_the_doubt_to_the_policy() -> None:
    asked = {"retry_after": KEY, "unsettled": True, "key_left": KEY}

    assert decision(Outcome.RATE_LIMITED, hold_unknown=True, **asked).status is Status.UNKNOWN
    made = decision(Outcome.RATE_LIMITED, **asked)
    assert (made.status, made.delay, made.possible_duplicate, made.costs_try) == (Status.PENDING, KEY, True, False)


def test_with_a_doubt_unsettled_a_refusal_fails_marked_and_the_last_try_is_unknown() -> None:
    refused = decision(Outcome.PERMANENT, unsettled=True, key_left=KEY)
    assert (refused.status, refused.possible_duplicate) == (Status.FAILED, True)
    assert decision(Outcome.TRANSIENT, unsettled=True, key_left=KEY, tries=MAX_TRIES - 1).status is Status.UNKNOWN


def test_a_claim_whose_key_is_over_is_not_sent_unmarked() -> None:
    held, again = without_send(hold_unknown=True), without_send(hold_unknown=False)

    assert (held.status, again.status) == (Status.UNKNOWN, Status.PENDING)
    assert held.possible_duplicate
    assert again.possible_duplicate
    assert all(each.status in TRANSITIONS[Status.SENDING, each.event] for each in (held, again))
