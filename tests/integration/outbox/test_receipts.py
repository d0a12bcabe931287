from uuid import UUID, uuid4

import pytest

from channels.contract import Progress
from notifications.models import Attempt, Receipt
from notifications.outbox.receipts import receive
from notifications.outbox.recover import bury
from notifications.retry import Decision
from notifications.states import Event, Outcome, Status

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)


def sent() -> UUID:
    id_ = rows.accepted(lane="sms")
    (claimed,) = rows.claimed(rows.worker(), lane="sms")
    rows.recorded(rows.result(claimed, Outcome.ACCEPTED, provider_id="SM1"))
    return id_


def test_delivered_settles_sent() -> None:
    id_ = sent()

    assert receive(id_, attempt=1, provider_id="SM1", progress=Progress.DELIVERED) is Status.DELIVERED
    assert rows.row(id_).status == "delivered"


def test_undelivered_fails_it_with_the_providers_code() -> None:
    id_ = sent()

    receive(id_, attempt=1, provider_id="SM1", progress=Progress.UNDELIVERED, code="30003")

    assert (rows.row(id_).status, rows.row(id_).error_code) == ("failed", "30003")


def test_a_lower_rank_that_comes_late_changes_nothing() -> None:
    id_ = sent()
    receive(id_, attempt=1, provider_id="SM1", progress=Progress.DELIVERED)

    assert receive(id_, attempt=1, provider_id="SM1", progress=Progress.UNDELIVERED, code="30008") is None
    assert rows.row(id_).status == "delivered"


def test_delivered_after_undelivered_wins() -> None:
    id_ = sent()
    receive(id_, attempt=1, provider_id="SM1", progress=Progress.UNDELIVERED, code="30008")

    receive(id_, attempt=1, provider_id="SM1", progress=Progress.DELIVERED)

    assert (rows.row(id_).status, rows.row(id_).error_code) == ("delivered", "")


def test_undelivered_of_an_earlier_attempt_does_not_count() -> None:
    id_, worker = rows.accepted(), rows.worker()
    (first,) = rows.claimed(worker)
    rows.recorded(rows.result(first, Outcome.RATE_LIMITED, decision=Decision(Event.RETRY, Status.PENDING)))
    (second,) = rows.claimed(worker)
    rows.recorded(rows.result(second, Outcome.ACCEPTED))

    assert receive(id_, attempt=1, provider_id="SM1", progress=Progress.UNDELIVERED) is None
    assert rows.row(id_).status == "sent"


def test_a_receipt_settles_an_unknown() -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    rows.claimed(worker, lane="sms")
    bury(worker, observed_beat=0, policies=rows.RESEND)

    assert receive(id_, attempt=1, provider_id="SM9", progress=Progress.TAKEN) is Status.SENT
    assert rows.outcomes(id_) == [(1, "lost", "accepted", False)]


def test_a_receipt_before_our_own_record_ends_the_claim_once() -> None:
    id_ = rows.accepted(lane="sms")
    (claimed,) = rows.claimed(rows.worker(), lane="sms")

    receive(id_, attempt=1, provider_id="SM1", progress=Progress.DELIVERED)
    rows.recorded(rows.result(claimed, Outcome.ACCEPTED, provider_id="SM1"))

    assert rows.row(id_).status == "delivered"
    assert rows.outcomes(id_) == [(1, "accepted", "", False)]


def test_a_receipt_for_nothing_we_know_is_kept_and_changes_nothing() -> None:
    assert receive(uuid4(), attempt=1, provider_id="SM1", progress=Progress.DELIVERED) is None
    assert (Receipt.objects.count(), Attempt.objects.count()) == (1, 0)


def test_a_success_that_a_receipt_told_is_not_forgotten_for_a_late_doubt() -> None:
    """A worker that was paused in a send, while another recovered its claim and the provider reported on it."""
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    (claimed,) = rows.claimed(worker, lane="sms")
    bury(worker, observed_beat=0, policies=rows.RESEND)
    receive(id_, attempt=1, provider_id="SM1", progress=Progress.TAKEN)

    rows.recorded(rows.result(claimed, Outcome.IN_DOUBT, hold=True))

    assert rows.row(id_).status == "sent"
    assert rows.outcomes(id_) == [(1, "lost", "accepted", False)]
