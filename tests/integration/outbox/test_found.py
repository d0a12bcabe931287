"""Whose the messages are that a look-up finds. A wrong yes would lose one: in doubt the answer is no."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from channels.contract import Progress
from notifications.models import Attempt, Client, Notification
from notifications.outbox import found, operate
from notifications.outbox.claim import Claim
from notifications.outbox.receipts import receive
from notifications.states import Outcome
from tests.factories import ClientFactory

from . import rows
from .second import Second

pytestmark = pytest.mark.django_db(transaction=True)

TO = "+14155552671"
SINCE = datetime.now(UTC) - timedelta(hours=1)  # all that these tests do is later


@pytest.fixture
def client_row(transactional_db: None) -> Client:
    return ClientFactory()


def texted(client: Client, **fields: object) -> UUID:
    return rows.accepted(lane="sms", recipient=TO, client_id=client.pk, **fields)


def claimed() -> Claim:
    (claim,) = rows.claimed(rows.worker(), lane="sms", batch=1)
    return claim


def ended(client: Client, outcome: Outcome = Outcome.IN_DOUBT, *, provider_id: str = "", **fields: object) -> UUID:
    """One whose send has come to this."""
    id_ = texted(client, **fields)
    rows.recorded(rows.result(claimed(), outcome, hold=True, provider_id=provider_id))
    return id_


def replayed(id_: UUID) -> Claim:
    """The next claim of one that is unknown, as an operator has it."""
    operate.replay([id_], actor="a test")
    claim = claimed()
    assert (claim.id, claim.possible_duplicate) == (id_, True)
    return claim


def sid(number: int) -> str:
    return f"SM{number:032x}"


def test_the_doubt_begins_with_the_first_attempt_that_left_one(client_row: Client) -> None:
    id_ = ended(client_row)
    first = Attempt.objects.get(notification_id=id_).started_at
    rows.recorded(rows.result(replayed(id_), Outcome.IN_DOUBT, hold=True))

    assert list(found.doubtful_since(id_).values()) == [first]


def test_what_was_certainly_not_sent_leaves_none(client_row: Client) -> None:
    assert found.doubtful_since(ended(client_row, Outcome.TRANSIENT)) == {}


def test_the_only_message_is_its_own_and_kept_at_once(client_row: Client) -> None:
    claim = replayed(ended(client_row))

    assert found.keep(claim, [sid(1)], since=SINCE) == sid(1)
    assert found.keep(claim, [sid(1)], since=SINCE) == sid(1), "safe to repeat"
    assert rows.row(claim.id).provider_id == sid(1)


def test_none_at_the_provider_is_none(client_row: Client) -> None:
    assert found.keep(replayed(ended(client_row)), [], since=SINCE) == ""


@pytest.mark.parametrize("other_client", [False, True], ids=["its own client's", "another client's"])
def test_anothers_message_is_not_taken_for_it(client_row: Client, other_client: bool) -> None:
    owner = ClientFactory() if other_client else client_row
    ended(owner, Outcome.ACCEPTED, provider_id=sid(1))
    claim = replayed(ended(client_row))

    assert found.keep(claim, [sid(1)], since=SINCE) == ""
    assert found.keep(claim, [sid(1), sid(2)], since=SINCE) == sid(2)


def test_a_message_of_anothers_test_is_not_taken_for_it(client_row: Client) -> None:
    claim = replayed(ended(client_row))
    id_ = rows.accepted(lane="~test:sms", recipient=TO, client_id=client_row.pk)
    (test,) = rows.claimed(rows.worker(), lane="~test:sms")
    rows.recorded(rows.result(test, Outcome.ACCEPTED, provider_id=sid(1)))

    assert rows.row(id_).status == "sent"
    assert found.keep(claim, [sid(1)], since=SINCE) == ""


def test_a_message_of_anothers_earlier_attempt_is_not_taken_for_it(client_row: Client) -> None:
    other = ended(client_row, Outcome.ACCEPTED, provider_id=sid(1), body="another text")
    receive(other, attempt=1, provider_id=sid(1), progress=Progress.UNDELIVERED, code="30003")
    operate.replay([other], actor="a test")
    rows.recorded(rows.result(claimed(), Outcome.ACCEPTED, provider_id=sid(2)))
    claim = replayed(ended(client_row))

    assert rows.row(other).provider_id == sid(2)
    assert found.keep(claim, [sid(1), sid(2)], since=SINCE) == ""


def test_a_message_that_a_receipt_named_anothers_is_not_taken_for_it(client_row: Client) -> None:
    other = ended(client_row)
    claim = replayed(ended(client_row))
    receive(other, attempt=1, provider_id=sid(1), progress=Progress.TAKEN)

    assert found.keep(claim, [sid(1)], since=SINCE) == ""
    assert found.keep(claim, [sid(1), sid(2)], since=SINCE) == sid(2), "the other's doubt is no more"


def test_of_two_in_doubt_neither_takes_the_one_message_that_is_there(client_row: Client) -> None:
    ended(client_row)

    assert found.keep(replayed(ended(client_row)), [sid(1)], since=SINCE) == ""


def test_of_two_in_doubt_each_takes_one_of_the_two_that_are_there(client_row: Client) -> None:
    ids = ended(client_row), ended(client_row)
    kept = []
    for id_ in ids:
        claim = replayed(id_)
        kept.append(found.keep(claim, [sid(1), sid(2)], since=SINCE))
        rows.recorded(rows.result(claim, Outcome.ACCEPTED, code=found.CODE, provider_id=kept[-1]))

    assert kept == [sid(1), sid(2)]


def test_one_in_doubt_whose_text_differs_in_the_space_around_it_is_a_rival(client_row: Client) -> None:
    ended(client_row, body=" hello\t\n\r\x0b\f")

    assert found.keep(replayed(ended(client_row)), [sid(1)], since=SINCE) == ""


def test_one_in_doubt_with_another_text_is_no_rival(client_row: Client) -> None:
    ended(client_row, body="another text")

    assert found.keep(replayed(ended(client_row)), [sid(1)], since=SINCE) == sid(1)


def test_what_is_being_sent_at_this_moment_may_own_it(client_row: Client) -> None:
    claim = replayed(ended(client_row))
    texted(client_row)
    sending = claimed()

    assert found.keep(claim, [sid(1)], since=SINCE) == ""
    rows.recorded(rows.result(sending, Outcome.ACCEPTED, provider_id=sid(2)))
    assert found.keep(claim, [sid(1)], since=SINCE) == sid(1)


def test_what_was_canceled_in_doubt_may_own_it(client_row: Client) -> None:
    operate.cancel([ended(client_row)], actor="a test")

    assert found.keep(replayed(ended(client_row)), [sid(1)], since=SINCE) == ""


def test_what_ended_before_the_doubt_began_owns_nothing(client_row: Client) -> None:
    before = ended(client_row, Outcome.PERMANENT)
    Notification.objects.filter(pk=before).update(finished_at=SINCE - timedelta(seconds=1), provider_id=sid(1))

    assert found.keep(replayed(ended(client_row)), [sid(1)], since=SINCE) == sid(1)


def test_a_claim_that_was_taken_away_keeps_nothing(client_row: Client) -> None:
    claim = replayed(ended(client_row))
    Notification.objects.filter(pk=claim.id).update(attempt=claim.attempt + 1)

    with pytest.raises(found.NotOurs):
        found.keep(claim, [sid(1)], since=SINCE)
    assert rows.row(claim.id).provider_id == ""


def test_of_two_that_look_at_once_the_second_sees_what_the_first_has_kept(client_row: Client, second: Second) -> None:
    claim, other = replayed(ended(client_row)), replayed(ended(client_row, body="another text"))
    with second.overtaken_by(lambda: found.keep(other, [sid(1)], since=SINCE)) as later:
        assert found.keep(claim, [sid(1)], since=SINCE) == sid(1)

    assert later.result() == ""


def test_undelivered_counts_for_what_the_latest_attempt_found(client_row: Client) -> None:
    id_ = ended(client_row)
    rows.recorded(rows.result(replayed(id_), Outcome.ACCEPTED, code=found.CODE, provider_id=sid(1)))

    receive(id_, attempt=1, provider_id=sid(1), progress=Progress.UNDELIVERED, code="30003")

    assert (rows.row(id_).status, rows.row(id_).error_code) == ("failed", "30003")


def test_undelivered_of_an_earlier_message_does_not_count_for_a_latest_attempt_in_doubt(client_row: Client) -> None:
    id_ = ended(client_row, Outcome.ACCEPTED, provider_id=sid(1))
    receive(id_, attempt=1, provider_id=sid(1), progress=Progress.UNDELIVERED, code="30003")
    operate.replay([id_], actor="a test")
    rows.recorded(rows.result(claimed(), Outcome.IN_DOUBT, hold=True))

    receive(id_, attempt=1, provider_id=sid(1), progress=Progress.UNDELIVERED, code="30003")

    assert rows.row(id_).status == "unknown"
