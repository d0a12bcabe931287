"""Each rule of the books is broken once, by hand, and found; untouched books balance."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from channels.contract import Progress
from notifications.lease import Lease
from notifications.models import Attempt, Event, IdempotencyRecord, Notification, Worker
from notifications.outbox import books, operate, receipts, recover
from notifications.outbox.claim import Claim
from notifications.states import Outcome, Status
from tests.integration.outbox import rows

pytestmark = pytest.mark.django_db(transaction=True)

WATCH = timedelta(seconds=1)
LONG_AGO = timedelta(days=10)


@pytest.fixture
def lease() -> Iterator[Lease]:
    """A worker that lives: its thread raises the beat of its row."""
    lease = Lease()
    lease.start()
    until = monotonic() + 10
    while lease.worker_id is None and monotonic() < until:
        sleep(0.01)
    yield lease
    lease.stop()


def claimed(channel: str = "slack", key: str | None = None) -> Claim:
    """A new one in a lane of its own, in the hands of a worker that never beats."""
    lane = f"{channel}:{uuid4()}"
    rows.accepted(lane=lane, key=key)
    (claim,) = rows.claimed(rows.worker(), lane=lane)
    return claim


def ended(outcome: Outcome, *, hold: bool = False, key: str | None = None) -> UUID:
    claim = claimed(key=key)
    rows.recorded(rows.result(claim, outcome, hold=hold, code="code"))
    return claim.id


def sent_after(outcome: Outcome) -> UUID:
    """Sent at the second attempt."""
    id_ = ended(outcome)
    Notification.objects.filter(pk=id_).update(due_at=timezone.now())
    (again,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(again, Outcome.ACCEPTED))
    return id_


def kinds() -> list[str]:
    return [violation.kind for violation in books.audit(watch=WATCH).violations]


def found(kind: str) -> books.Violation:
    (violation,) = [each for each in books.audit(watch=WATCH).violations if each.kind == kind]
    return violation


@contextmanager
def unchecked(constraint: str) -> Iterator[None]:
    """The table without one of its CHECK constraints, as a careless restore might leave it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [constraint])
        (definition,) = cursor.fetchone()
        cursor.execute(f"ALTER TABLE notification DROP CONSTRAINT {constraint}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE notification ADD CONSTRAINT {constraint} {definition} NOT VALID")


def test_every_way_of_ending_leaves_books_that_balance(lease: Lease) -> None:
    ended(Outcome.ACCEPTED, key="a")
    ended(Outcome.PERMANENT, key="b")
    ended(Outcome.IN_DOUBT, hold=True, key="c")
    ended(Outcome.RELEASED)
    sent_after(Outcome.TRANSIENT)
    sent_after(Outcome.IN_DOUBT)
    operate.replay([ended(Outcome.PERMANENT)], actor="ada")
    operate.cancel([rows.accepted(lane="sms")], actor="ada")
    Notification.objects.filter(pk=rows.accepted(lane="sms")).update(expires_at=timezone.now())
    operate.expire()
    delivered = ended(Outcome.ACCEPTED)
    receipts.receive(delivered, attempt=1, provider_id="SM1", progress=Progress.DELIVERED)
    undelivered = ended(Outcome.ACCEPTED)
    receipts.receive(undelivered, attempt=1, provider_id="SM2", progress=Progress.UNDELIVERED, code="30003")
    settled = claimed("email")
    receipts.receive(settled.id, attempt=1, provider_id="SM3", progress=Progress.DELIVERED)
    lost = claimed("sms")
    recover.retire(lost.worker_id, rows.RESEND)
    rows.recorded(rows.result(lost, Outcome.ACCEPTED))  # late: settles the unknown
    rows.accepted(lane="sms")
    assert lease.worker_id
    assert rows.claimed(lease.worker_id, lane="sms")

    audited = books.audit(watch=WATCH)

    assert audited.violations == []
    assert audited.counts[Status.SENDING] == 1
    assert audited.counts[Status.DELIVERED] == 2
    assert audited.counts[Status.FAILED] == 3
    assert audited.counts[Status.CANCELED] == 1


def test_a_deleted_notification_is_missed_by_its_key() -> None:
    id_ = ended(Outcome.ACCEPTED, key="order-42")
    Attempt.objects.filter(notification_id=id_).delete()
    Notification.objects.filter(pk=id_).delete()

    violation = found("record_without_notification")

    assert (violation.count, violation.examples) == (1, [str(id_)])
    assert kinds() == ["record_without_notification"]


def test_a_key_deleted_within_a_day_is_missed() -> None:
    id_ = ended(Outcome.ACCEPTED, key="order-42")
    IdempotencyRecord.objects.all().delete()

    assert found("key_forgotten").examples == [str(id_)]


def test_a_key_deleted_while_its_notification_is_open_is_missed() -> None:
    id_ = rows.accepted(key="order-42", created_at=datetime.now(UTC) - LONG_AGO)
    IdempotencyRecord.objects.all().delete()

    assert found("key_forgotten").examples == [str(id_)]


def test_a_key_deleted_before_its_failed_notification_is_missed_once_that_is_replayed() -> None:
    id_ = rows.accepted(key="order-42", created_at=datetime.now(UTC) - LONG_AGO)
    (claim,) = rows.claimed(rows.worker())
    rows.recorded(rows.result(claim, Outcome.PERMANENT))
    IdempotencyRecord.objects.all().delete()
    assert kinds() == []

    operate.replay([id_], actor="ada")

    assert found("key_forgotten").examples == [str(id_)]


def test_a_key_that_was_purged_in_time_is_not_missed() -> None:
    """It had been sent by then; that it was not delivered came to be known later."""
    id_ = rows.accepted(lane="sms", key="order-42", created_at=datetime.now(UTC) - LONG_AGO)
    (claim,) = rows.claimed(rows.worker(), lane="sms")
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    IdempotencyRecord.objects.all().delete()
    assert kinds() == []

    receipts.receive(id_, attempt=1, provider_id="SM1", progress=Progress.UNDELIVERED, code="30003")
    operate.replay([id_], actor="ada")

    assert rows.row(id_).status == "pending"
    assert kinds() == []


def test_a_deleted_attempt_leaves_a_sent_one_without_acceptance() -> None:
    id_ = ended(Outcome.ACCEPTED)
    Attempt.objects.filter(notification_id=id_).delete()

    assert found("sent_without_acceptance").examples == [str(id_)]


def test_an_accepted_one_that_is_open_again_is_found() -> None:
    id_ = ended(Outcome.ACCEPTED)
    Notification.objects.filter(pk=id_).update(status="pending", finished_at=None)

    assert kinds() == ["accepted_and_open"]
    assert found("accepted_and_open").examples == [str(id_)]


def test_an_accepted_one_that_failed_without_a_receipt_is_found() -> None:
    id_ = ended(Outcome.ACCEPTED)
    Notification.objects.filter(pk=id_).update(status="failed")

    assert kinds() == ["failed_after_acceptance"]
    assert found("failed_after_acceptance").examples == [str(id_)]


def test_an_unknown_one_whose_outcome_is_known_is_found() -> None:
    id_ = ended(Outcome.PERMANENT)
    Notification.objects.filter(pk=id_).update(status="unknown", finished_at=None)

    assert kinds() == ["unknown_without_doubt"]
    assert found("unknown_without_doubt").examples == [str(id_)]


def test_a_canceled_one_without_an_event_is_found() -> None:
    id_ = rows.accepted()
    operate.cancel([id_], actor="ada")
    Event.objects.all().delete()

    assert kinds() == ["canceled_by_nobody"]
    assert found("canceled_by_nobody").examples == [str(id_)]


def test_a_resend_after_a_doubt_that_is_not_marked_is_found() -> None:
    id_ = sent_after(Outcome.IN_DOUBT)
    Attempt.objects.filter(notification_id=id_, number=2).update(possible_duplicate=False)

    assert kinds() == ["silent_duplicate"]
    assert found("silent_duplicate").examples == [str(id_)]


@pytest.mark.parametrize(
    ("later", "doubles"),
    [
        ({}, False),
        ({"backend": ""}, False),  # settled by a receipt while it was under way
        ({"backend": "another"}, True),
        ({"started_at": timezone.now() + timedelta(hours=2)}, True),
    ],
)
def test_a_resend_without_a_mark_is_right_by_the_same_backend_while_its_key_is_known(
    later: dict[str, object], doubles: bool
) -> None:
    id_ = sent_after(Outcome.IN_DOUBT)
    until = timezone.now() + timedelta(hours=1)
    Attempt.objects.filter(notification_id=id_, number=1).update(deduplicated_until=until)
    Attempt.objects.filter(notification_id=id_, number=2).update(possible_duplicate=False, **later)

    assert kinds() == (["silent_duplicate"] if doubles else [])


def test_an_unknown_of_an_earlier_attempt_under_a_key_is_right() -> None:
    id_ = ended(Outcome.IN_DOUBT, hold=True)
    assert kinds() == []
    Attempt.objects.filter(notification_id=id_).update(outcome=Outcome.TRANSIENT)
    assert kinds() == ["unknown_without_doubt"]

    Attempt.objects.filter(notification_id=id_).update(
        outcome=Outcome.IN_DOUBT, late_outcome=Outcome.ACCEPTED, deduplicated_until=timezone.now()
    )
    assert kinds() == []


def test_an_attempt_number_that_is_not_the_last_rows_is_found() -> None:
    id_ = ended(Outcome.PERMANENT)
    Notification.objects.filter(pk=id_).update(attempt=7)

    assert found("attempt_miscounted").examples == [str(id_)]


def test_an_attempt_row_of_a_claim_under_way_is_found(lease: Lease) -> None:
    id_ = rows.accepted()
    assert lease.worker_id
    (claim,) = rows.claimed(lease.worker_id)
    now = timezone.now()
    Attempt.objects.create(
        notification_id=id_, number=1, started_at=now, finished_at=now, outcome="transient", worker_id=claim.worker_id
    )

    assert kinds() == ["attempt_miscounted"]


def test_a_gap_in_the_attempts_is_found() -> None:
    id_ = sent_after(Outcome.TRANSIENT)
    Attempt.objects.filter(notification_id=id_, number=1).delete()

    assert kinds() == ["attempts_with_a_gap"]
    assert found("attempts_with_a_gap").examples == [str(id_)]


def test_an_attempt_without_its_notification_is_found() -> None:
    id_ = ended(Outcome.ACCEPTED)
    Notification.objects.filter(pk=id_).delete()

    assert kinds() == ["attempt_without_notification"]
    assert found("attempt_without_notification").examples == [f"{id_} #1"]


def test_an_event_without_its_notification_is_found() -> None:
    id_ = rows.accepted()
    operate.cancel([id_], actor="ada")
    Notification.objects.filter(pk=id_).delete()

    assert kinds() == ["event_without_notification"]


@pytest.mark.parametrize("column", ["worker_id", "claimed_at", "started_at"])
def test_a_finished_one_with_a_worker_is_found(column: str) -> None:
    id_ = ended(Outcome.ACCEPTED)
    value = uuid4() if column == "worker_id" else timezone.now()
    with unchecked("notification_claim"):
        Notification.objects.filter(pk=id_).update(**{column: value})

        assert kinds() == ["idle_with_worker"]
        assert found("idle_with_worker").examples == [str(id_)]

        Notification.objects.filter(pk=id_).update(**{column: None})


def test_a_claim_of_a_worker_without_a_lease_is_found() -> None:
    claim = claimed()
    Worker.objects.all().delete()

    assert kinds() == ["claim_without_worker"]
    assert found("claim_without_worker").examples == [str(claim.id)]


def test_a_claim_of_a_worker_that_stopped_beating_is_found() -> None:
    claim = claimed()

    assert found("claim_without_worker").examples == [str(claim.id)]


def test_a_claim_of_a_worker_that_beats_is_in_order(lease: Lease) -> None:
    rows.accepted()
    assert lease.worker_id
    assert rows.claimed(lease.worker_id)

    began = monotonic()
    assert books.audit(watch=timedelta(seconds=30)).violations == []
    assert monotonic() - began < 5  # it stops watching as soon as the beat has moved


def test_a_dead_workers_claim_that_is_taken_back_meanwhile_is_in_order(lease: Lease) -> None:
    """The auditor sees a worker that is dead, and the others' four seconds are not over yet."""
    claim = claimed()
    until = monotonic() + 20
    audits = _in_thread(lambda: books.audit(watch=timedelta(seconds=30)))
    while not lease.dead() and monotonic() < until:
        sleep(0.05)
    for worker_id, beat in lease.dead():
        recover.bury(worker_id, observed_beat=beat, policies=rows.RESEND)

    audited = audits()

    assert audited.counts[Status.SENDING] == 1
    assert audited.violations == []
    assert rows.row(claim.id).status == "pending"


def _in_thread(work: Callable[[], books.Books]) -> Callable[[], books.Books]:
    def closing() -> books.Books:
        try:
            return work()
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(closing)

    def wait() -> books.Books:
        try:
            return future.result(timeout=40)
        finally:
            pool.shutdown()

    return wait


def test_what_moves_while_it_reads_breaks_no_rule(lease: Lease) -> None:
    """A worker is busy all the while; the books are read at one instant each time."""
    assert lease.worker_id
    worker = lease.worker_id
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                rows.accepted(key=str(uuid4()))
                claims = rows.claimed(worker)
                rows.recorded(*[rows.result(claim, Outcome.ACCEPTED) for claim in claims])
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        audits = [books.audit(watch=timedelta(seconds=10)) for _ in range(10)]
    finally:
        stop.set()
        thread.join(timeout=10)

    assert [audited.violations for audited in audits] == [[]] * 10
    assert audits[-1].counts[Status.SENT] > 0


def test_ten_examples_are_shown_and_all_are_counted() -> None:
    for _ in range(12):
        rows.accepted(key=str(uuid4()))
    Notification.objects.all().delete()

    violation = found("record_without_notification")

    assert violation.count == 12
    assert len(violation.examples) == 10


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("check_outbox", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_command_prints_counts_and_that_the_books_balance() -> None:
    ended(Outcome.ACCEPTED)
    rows.accepted()

    lines = run().splitlines()

    assert lines[0].split() == ["status", "notifications"]
    assert ["pending", "1"] in [line.split() for line in lines]
    assert ["sent", "1"] in [line.split() for line in lines]
    assert ["unknown", "0"] in [line.split() for line in lines]
    assert lines[-1] == "The books balance."


def test_the_command_names_what_is_wrong_and_exits_with_one() -> None:
    id_ = ended(Outcome.ACCEPTED)
    Attempt.objects.all().delete()
    out = io.StringIO()

    with pytest.raises(CommandError) as stopped:
        call_command("check_outbox", stdout=out, no_color=True)

    assert stopped.value.returncode == 1
    assert "sent_without_acceptance: 1\n  said to be sent or delivered, but no attempt" in out.getvalue()
    assert str(id_) in out.getvalue()


def test_json_says_the_same_for_scripts() -> None:
    id_ = ended(Outcome.ACCEPTED)
    assert json.loads(run("--json"))["balanced"] is True
    Attempt.objects.all().delete()
    out = io.StringIO()

    with pytest.raises(CommandError):
        call_command("check_outbox", "--json", stdout=out)

    answer = json.loads(out.getvalue())
    assert answer["balanced"] is False
    assert answer["counts"]["sent"] == 1
    assert [each["examples"] for each in answer["violations"]] == [[str(id_)], [str(id_)]]


@pytest.mark.parametrize("seconds", ["0", "soon", "1e9", "nan"])
def test_a_watch_that_makes_no_sense_is_refused(seconds: str) -> None:
    with pytest.raises(CommandError, match="--watch"):
        run("--watch", seconds)


def test_books_that_cannot_be_read_are_not_called_out_of_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    connection.close()

    with pytest.raises(CommandError, match="did not answer") as stopped:
        run()

    assert stopped.value.returncode == 3
