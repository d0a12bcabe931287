from datetime import timedelta
from time import monotonic

import pytest
from django.utils import timezone

from notifications import retry
from notifications.models import Attempt, Notification, Worker
from notifications.outbox.record import record
from notifications.outbox.recover import bury
from notifications.states import Event, Outcome, Status
from tests.factories import WebhookEndpointFactory

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_accepted_is_sent_with_the_providers_id() -> None:
    id_ = rows.accepted()
    (claimed,) = rows.claimed(rows.worker())

    written = rows.recorded(rows.result(claimed, Outcome.ACCEPTED, provider_id="SM1", code="200"))

    row, attempt = rows.row(id_), Attempt.objects.get(notification_id=id_)
    assert (row.status, row.provider_id, row.worker_id) == ("sent", "SM1", None)
    assert row.finished_at is not None
    assert (attempt.number, attempt.outcome, attempt.backend) == (1, "accepted", "slack_webhook")
    assert attempt.finished_at - attempt.started_at == pytest.approx(
        timedelta(seconds=0.1), abs=timedelta(milliseconds=20)
    )
    assert written.late == frozenset()


def test_a_transient_failure_costs_a_try_and_waits() -> None:
    id_ = rows.accepted()
    (claimed,) = rows.claimed(rows.worker())
    decision = retry.Decision(Event.RETRY, Status.PENDING, timedelta(minutes=5), costs_try=True)

    rows.recorded(rows.result(claimed, Outcome.TRANSIENT, decision=decision, code="500"))

    row = rows.row(id_)
    assert (row.status, row.tries, row.error_code) == ("pending", 1, "500")
    assert timedelta(minutes=4) < row.due_at - timezone.now() <= timedelta(minutes=5)


def test_a_rate_limit_does_not_consume_a_try() -> None:
    id_ = rows.accepted()
    (claimed,) = rows.claimed(rows.worker())

    rows.recorded(rows.result(claimed, Outcome.RATE_LIMITED))

    assert (rows.row(id_).status, rows.row(id_).tries) == ("pending", 0)


def test_in_doubt_under_resend_marks_the_next_attempt() -> None:
    id_, worker = rows.accepted(), rows.worker()
    (first,) = rows.claimed(worker)
    decision = retry.Decision(Event.IN_DOUBT, Status.PENDING, costs_try=True, possible_duplicate=True)
    rows.recorded(rows.result(first, Outcome.IN_DOUBT, decision=decision))

    (second,) = rows.claimed(worker)
    rows.recorded(rows.result(second, Outcome.ACCEPTED))

    assert rows.outcomes(id_) == [(1, "in_doubt", "", False), (2, "accepted", "", True)]


def test_in_doubt_under_hold_is_unknown() -> None:
    id_ = rows.accepted(lane="sms")
    (claimed,) = rows.claimed(rows.worker(), lane="sms")

    rows.recorded(rows.result(claimed, Outcome.IN_DOUBT, hold=True))

    assert rows.row(id_).status == "unknown"


def test_a_result_after_the_claim_was_taken_away_changes_no_status() -> None:
    id_, slow, quick = rows.accepted(), rows.worker(), rows.worker()
    (late,) = rows.claimed(slow)
    assert bury(slow, observed_beat=0, policies=rows.RESEND) is not None
    (current,) = rows.claimed(quick)

    written = rows.recorded(rows.result(late, Outcome.PERMANENT, code="404"))

    row = rows.row(id_)
    assert written.late == {id_}
    assert (row.status, row.attempt, row.worker_id, row.error_code) == ("sending", 2, quick, "worker_lost")
    rows.recorded(rows.result(current, Outcome.ACCEPTED))
    assert rows.outcomes(id_) == [(1, "lost", "permanent", False), (2, "accepted", "", True)]


def test_a_late_success_settles_the_same_attempts_unknown() -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    (claimed,) = rows.claimed(worker, lane="sms")
    bury(worker, observed_beat=0, policies=rows.RESEND)
    assert rows.row(id_).status == "unknown"

    written = rows.recorded(rows.result(claimed, Outcome.ACCEPTED, provider_id="SM2"))

    assert written.late == frozenset()
    assert (rows.row(id_).status, rows.row(id_).provider_id) == ("sent", "SM2")
    assert rows.outcomes(id_) == [(1, "lost", "accepted", False)]


def test_a_late_failure_leaves_the_unknown_alone() -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    (claimed,) = rows.claimed(worker, lane="sms")
    bury(worker, observed_beat=0, policies=rows.RESEND)

    rows.recorded(rows.result(claimed, Outcome.PERMANENT))

    assert rows.row(id_).status == "unknown"


def test_one_late_row_does_not_fail_its_batch() -> None:
    stolen, kept, worker = rows.accepted(), rows.accepted(), rows.worker()
    first, second = rows.claimed(worker)
    Notification.objects.filter(pk=stolen).update(attempt=7)

    written = rows.recorded(rows.result(first, Outcome.ACCEPTED), rows.result(second, Outcome.ACCEPTED))

    assert written.late == {stolen}
    assert (rows.row(stolen).status, rows.row(kept).status) == ("sending", "sent")


def test_recording_twice_changes_nothing() -> None:
    id_ = rows.accepted()
    (claimed,) = rows.claimed(rows.worker())
    done = rows.result(claimed, Outcome.ACCEPTED)
    rows.recorded(done)
    before = (rows.row(id_).finished_at, rows.outcomes(id_))

    rows.recorded(done)

    assert (rows.row(id_).finished_at, rows.outcomes(id_)) == before


def test_the_next_send_is_started_in_the_same_statement() -> None:
    done, next_, worker = rows.accepted(lane="sms"), rows.accepted(lane="sms"), rows.worker()
    first, second = rows.claimed(worker, lane="sms", started=False)

    written = rows.recorded(rows.result(first, Outcome.ACCEPTED), next_claim=second)

    assert written.started == {second.id}
    assert (rows.row(done).status, rows.row(next_).started_at is not None) == ("sent", True)


def test_each_of_several_starts_stands_on_its_own_fence() -> None:
    lost, kept = rows.accepted(lane="sms"), rows.accepted(lane="sms")
    gone, alive = rows.worker(), rows.worker()
    (first,) = rows.claimed(gone, lane="sms", started=False, batch=1)
    (second,) = rows.claimed(alive, lane="sms", started=False)
    bury(gone, observed_beat=0, policies=rows.RESEND)

    written = record([], now=monotonic(), next_claims=[first, second])

    assert (written.started, written.late) == ({kept}, frozenset())
    assert rows.row(lost).started_at is None


def test_a_start_is_refused_once_the_claim_is_gone() -> None:
    rows.accepted(lane="sms")
    worker = rows.worker()
    (claimed,) = rows.claimed(worker, lane="sms", started=False)
    bury(worker, observed_beat=0, policies=rows.RESEND)

    assert not rows.recorded(next_claim=claimed).started


def test_what_postgres_cannot_store_is_replaced() -> None:
    id_ = rows.accepted()
    (claimed,) = rows.claimed(rows.worker())

    rows.recorded(rows.result(claimed, Outcome.PERMANENT, detail="bad\x00 \ud800 text"))

    assert Attempt.objects.get(notification_id=id_).detail == "bad� ? text"


def test_a_monotonic_clock_older_than_the_machine_is_no_matter() -> None:
    rows.accepted()
    (claimed,) = rows.claimed(rows.worker())
    rows.recorded(rows.result(claimed, Outcome.ACCEPTED, started=monotonic() - 90, finished=monotonic()))

    attempt = Attempt.objects.get()
    assert attempt.finished_at - attempt.started_at == pytest.approx(timedelta(seconds=90), abs=timedelta(seconds=1))
    assert Worker.objects.count() == 1


def test_a_success_clears_the_error_of_the_try_before() -> None:
    id_, worker = rows.accepted(), rows.worker()
    (first,) = rows.claimed(worker)
    decision = retry.Decision(Event.RETRY, Status.PENDING, costs_try=True)
    rows.recorded(rows.result(first, Outcome.TRANSIENT, decision=decision, code="500"))
    assert rows.row(id_).error_code == "500"

    (second,) = rows.claimed(worker)
    rows.recorded(rows.result(second, Outcome.ACCEPTED, code="200"))

    assert rows.row(id_).error_code == ""


@pytest.mark.parametrize(
    "text",
    [
        "NULL",
        'a "quoted" word',
        "back\\slash\\",
        "{a,b}",
        "two\nlines\tand a tab",
        "",
        "ß \U0001f600",
        " spaces ",
        "'; --",
    ],
)
def test_what_a_provider_says_is_kept_to_the_letter(text: str) -> None:
    worker = rows.worker()
    rows.accepted()
    rows.accepted()
    first, second = rows.claimed(worker)

    rows.recorded(
        rows.result(first, Outcome.PERMANENT, code=text, detail=text, provider_id=text),
        rows.result(second, Outcome.ACCEPTED),
    )

    kept = Attempt.objects.get(notification_id=first.id)
    assert (kept.code, kept.detail, kept.provider_id) == (text, text, text)
    other = Attempt.objects.get(notification_id=second.id)
    assert (other.code, other.detail, other.provider_id) == ("", "", "")


def test_what_another_backend_is_to_try_goes_to_its_lane_and_says_so() -> None:
    id_, other, worker = rows.accepted(), rows.accepted(), rows.worker()
    claims = {claim.id: claim for claim in rows.claimed(worker)}
    moves = retry.decide(Outcome.TRANSIENT, tries=0, hold_unknown=False, backends=("", "two"))

    written = rows.recorded(
        rows.result(claims[id_], Outcome.TRANSIENT, decision=moves, lane="slack@two:ops"),
        rows.result(claims[other], Outcome.ACCEPTED),
    )

    assert (rows.row(id_).status, rows.row(id_).lane, rows.row(id_).tries) == ("pending", "slack@two:ops", 1)
    assert (rows.row(other).status, rows.row(other).lane) == ("sent", "slack:ops")
    assert written.moved == {"slack@two:ops"}
    assert [claim.id for claim in rows.claimed(worker, lane="slack@two:ops")] == [id_]


def test_a_late_result_moves_nothing() -> None:
    id_, worker = rows.accepted(), rows.worker()
    (claimed,) = rows.claimed(worker)
    bury(worker, observed_beat=0, policies=rows.RESEND)
    moves = retry.decide(Outcome.TRANSIENT, tries=0, hold_unknown=False, backends=("", "two"))

    written = rows.recorded(rows.result(claimed, Outcome.TRANSIENT, decision=moves, lane="slack@two:ops"))

    assert (written.late, rows.row(id_).lane) == ({id_}, "slack:ops")


def test_a_doubt_that_a_key_settles_says_until_when_and_a_mark_ends_it() -> None:
    id_, worker = rows.accepted(), rows.worker()
    (first,) = rows.claimed(worker)
    assert first.key_left is None
    under_key = retry.Decision(Event.IN_DOUBT, Status.PENDING, costs_try=True, under_key=True)
    rows.recorded(rows.result(first, Outcome.IN_DOUBT, decision=under_key, key_left=3600.0))

    (second,) = rows.claimed(worker)
    assert second.key_left == pytest.approx(3600, abs=5)
    assert not second.possible_duplicate
    # In doubt once more: what is left is less, and never becomes more.
    rows.recorded(rows.result(second, Outcome.IN_DOUBT, decision=under_key, key_left=7200.0))
    (third,) = rows.claimed(worker)
    assert third.key_left == pytest.approx(3600, abs=5)

    marked = retry.Decision(Event.RETRY, Status.PENDING, possible_duplicate=True)
    rows.recorded(rows.result(third, Outcome.TRANSIENT, decision=marked))
    (fourth,) = rows.claimed(worker)
    assert (fourth.key_left, fourth.possible_duplicate) == (None, True)
    assert rows.outcomes(id_) == [(1, "in_doubt", "", False), (2, "in_doubt", "", False), (3, "transient", "", False)]


def test_while_somebody_is_told_of_results_they_move_just_so() -> None:
    WebhookEndpointFactory()
    rows.accepted()
    worker = rows.worker()
    (claimed,) = rows.claimed(worker)
    moves = retry.decide(Outcome.TRANSIENT, tries=0, hold_unknown=False, backends=("", "two"))

    written = rows.recorded(rows.result(claimed, Outcome.TRANSIENT, decision=moves, lane="slack@two:ops"))

    assert (written.moved, Notification.objects.get().lane) == ({"slack@two:ops"}, "slack@two:ops")
