"""Two connections at the same rows: whichever comes second finds what the first has left, never half of it.

Each pair is shown both ways round where the order matters. The first is held open, its statements done and its commit
still to come, until the second waits for its lock, or has passed it over.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import monotonic
from uuid import UUID

import pytest
from django.db import connection, transaction

from channels.contract import Progress
from notifications.actors import Actors
from notifications.delivery import Delivery
from notifications.holdings import Holdings
from notifications.lease import BEAT_EVERY, DEAD_AFTER, Lease
from notifications.models import Client, IdempotencyRecord, Notification, Worker
from notifications.outbox import operate, purge, receipts, recover, workers
from notifications.outbox.record import Result
from notifications.outbox.statement import direct_connection
from notifications.recorder import Ledger, Recorder
from notifications.relay import Relay
from notifications.services import Accepted, NotificationRequest, Unavailable, accept
from notifications.states import Outcome
from tests.eventually import eventually
from tests.factories import ClientFactory

from . import rows
from .lossy import lossy_wire
from .second import Second

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = datetime.now(UTC) - timedelta(days=200)


def bury(worker: UUID, *, beat: int = 0) -> list[recover.TakenBack] | None:
    return recover.bury(worker, observed_beat=beat, policies=rows.RESEND)


def beat(worker: UUID) -> workers.Beats:
    with direct_connection("a lease") as lease:
        return workers.beat(lease, worker)


# --- renewal against recovery -----------------------------------------------------------------------------


def test_a_renewal_that_came_first_saves_its_worker(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()
    rows.claimed(worker)

    with second.overtaken_by(lambda: bury(worker)) as burial:
        Worker.objects.filter(pk=worker).update(beat=1)

    assert burial.result() is None
    assert (rows.row(id_).status, rows.row(id_).worker_id) == ("sending", worker)
    assert rows.outcomes(id_) == []


def test_a_renewal_that_came_second_learns_that_its_worker_was_buried(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()
    rows.claimed(worker)

    with second.overtaken_by(lambda: beat(worker)) as renewal:
        bury(worker)

    assert not renewal.result().renewed
    assert rows.row(id_).status == "pending"
    assert rows.outcomes(id_) == [(1, "lost", "", False)]


def test_a_renewal_that_took_long_takes_nobody_for_dead() -> None:
    """The database stood still for everybody: whoever is answered first sees the others where they stood."""
    lease, other = Lease(), rows.worker()
    lease.start()
    try:
        eventually(lambda: other in lease._seen, what="the other's beat, seen")
        stood_still = monotonic()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE worker IN ACCESS EXCLUSIVE MODE")
            eventually(lambda: monotonic() - stood_still > DEAD_AFTER + BEAT_EVERY, what="longer than a life")
            assert lease.dead() == []  # a relay may ask before the answer is here
        before = Worker.objects.get(pk=lease.worker_id).beat
        while Worker.objects.get(pk=lease.worker_id).beat < before + 4:
            assert lease.dead() == []
    finally:
        lease.stop()


# --- two recoveries at once -------------------------------------------------------------------------------


def test_of_two_burials_one_takes_the_claims_back(second: Second) -> None:
    ids, worker = {rows.accepted() for _ in range(3)}, rows.worker()
    rows.claimed(worker)

    with second.overtaken_by(lambda: bury(worker)) as other:
        taken = bury(worker)

    assert {claim.id for claim in taken or []} == ids
    assert other.result() is None
    assert [rows.outcomes(id_) for id_ in ids] == [[(1, "lost", "", False)]] * 3
    assert set(Notification.objects.values_list("losses", flat=True)) == {1}


def test_two_recoveries_of_claims_without_a_lease_share_them(second: Second) -> None:
    ids, worker = [rows.accepted() for _ in range(4)], rows.worker()
    rows.claimed(worker)
    Worker.objects.all().delete()

    with transaction.atomic():
        Notification.objects.select_for_update().get(pk=ids[0])  # as the other recovery, at its first row
        others = second.run(lambda: recover.recover_missing(rows.RESEND))
        ours = recover.recover_missing(rows.RESEND)

    assert {claim.id for claim in others} == set(ids[1:])
    assert {claim.id for claim in ours} == {ids[0]}
    assert set(Notification.objects.values_list("status", "losses")) == {("pending", 1)}


# --- record against recovery ------------------------------------------------------------------------------


def test_a_record_that_came_first_is_passed_over_by_the_recovery(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()
    (claim,) = rows.claimed(worker)

    with transaction.atomic():
        rows.recorded(rows.result(claim, Outcome.ACCEPTED))
        assert second.run(lambda: bury(worker)) == []

    assert rows.row(id_).status == "sent"
    assert rows.outcomes(id_) == [(1, "accepted", "", False)]


def test_a_record_that_is_rolled_back_leaves_its_claim_to_the_next_recovery(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()
    (claim,) = rows.claimed(worker)

    with transaction.atomic():
        rows.recorded(rows.result(claim, Outcome.ACCEPTED))
        assert second.run(lambda: bury(worker)) == []
        transaction.set_rollback(True)

    assert rows.row(id_).status == "sending"
    assert [claim.outcome for claim in recover.recover_missing(rows.RESEND)] == ["lost"]
    assert rows.outcomes(id_) == [(1, "lost", "", False)]


def test_a_record_that_came_second_is_late_and_noted(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()
    (claim,) = rows.claimed(worker)

    with second.overtaken_by(lambda: rows.recorded(rows.result(claim, Outcome.ACCEPTED))) as record:
        bury(worker)

    assert record.result().late == {id_}
    assert (rows.row(id_).status, rows.row(id_).possible_duplicate) == ("pending", True)
    assert rows.outcomes(id_) == [(1, "lost", "accepted", False)]


def test_a_success_that_came_second_settles_the_unknown_of_its_own_attempt(second: Second) -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    (claim,) = rows.claimed(worker, lane="sms")

    with second.overtaken_by(lambda: rows.recorded(rows.result(claim, Outcome.ACCEPTED))) as record:
        bury(worker)

    assert record.result().late == frozenset()
    assert rows.row(id_).status == "sent"


def test_a_start_that_came_second_is_refused(second: Second) -> None:
    rows.accepted(lane="sms")
    worker = rows.worker()
    (claim,) = rows.claimed(worker, lane="sms", started=False)

    with second.overtaken_by(lambda: rows.recorded(next_claim=claim)) as start:
        bury(worker)

    assert not start.result().started


# --- a batch with one row gone ----------------------------------------------------------------------------


def test_a_batch_one_of_whose_rows_was_taken_meanwhile_is_recorded_all_the_same(second: Second) -> None:
    ids, worker = [rows.accepted() for _ in range(3)], rows.worker()
    claims = rows.claimed(worker)
    results = [rows.result(claim, Outcome.ACCEPTED) for claim in claims]

    with second.overtaken_by(lambda: rows.recorded(*results)) as record:
        recover.take_back([worker], rows.RESEND, detail="test", only=[(ids[1], 1)])

    assert record.result().late == {ids[1]}
    assert [rows.row(id_).status for id_ in ids] == ["sent", "pending", "sent"]
    assert rows.outcomes(ids[1]) == [(1, "lost", "accepted", False)]


def test_a_batch_one_of_whose_rows_was_deleted_meanwhile_is_recorded_all_the_same(second: Second) -> None:
    ids, worker = [rows.accepted() for _ in range(3)], rows.worker()
    results = [rows.result(claim, Outcome.ACCEPTED) for claim in rows.claimed(worker)]

    with second.overtaken_by(lambda: rows.recorded(*results)) as record:
        Notification.objects.filter(pk=ids[1]).delete()

    assert record.result().late == {ids[1]}
    assert [rows.row(id_).status for id_ in (ids[0], ids[2])] == ["sent", "sent"]


# --- a receipt before our own record ----------------------------------------------------------------------


PROGRESS = pytest.mark.parametrize(
    ("progress", "status"),
    [(Progress.DELIVERED, "delivered"), (Progress.UNDELIVERED, "failed"), (Progress.TAKEN, "sent")],
)


def recorded_by_a_worker(result: Result) -> None:
    recorder = Recorder(Holdings(), threading.Event(), Ledger(reported=True), lane="sms", claimed=monotonic())
    recorder.add(result)
    recorder.flush()


def report(id_: UUID, progress: Progress) -> None:
    receipts.receive(id_, attempt=1, provider_id="SM1", progress=progress, code="30003")


@PROGRESS
@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.IN_DOUBT])
def test_a_receipt_that_came_before_the_record_counts(progress: Progress, outcome: Outcome, status: str) -> None:
    id_ = rows.accepted(lane="sms")
    (claim,) = rows.claimed(rows.worker(), lane="sms")

    report(id_, progress)
    recorded_by_a_worker(rows.result(claim, outcome, hold=True, provider_id="SM1"))

    assert (rows.row(id_).status, rows.row(id_).provider_id) == (status, "SM1")


@PROGRESS
@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.IN_DOUBT])
def test_a_receipt_that_the_record_waits_for_counts(
    second: Second, progress: Progress, outcome: Outcome, status: str
) -> None:
    id_ = rows.accepted(lane="sms")
    (claim,) = rows.claimed(rows.worker(), lane="sms")
    result = rows.result(claim, outcome, hold=True, provider_id="SM1")

    with second.overtaken_by(lambda: recorded_by_a_worker(result)) as record:
        report(id_, progress)

    record.result()
    assert rows.row(id_).status == status


@PROGRESS
@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.IN_DOUBT])
def test_a_receipt_that_waits_for_the_record_counts(
    second: Second, progress: Progress, outcome: Outcome, status: str
) -> None:
    id_ = rows.accepted(lane="sms")
    (claim,) = rows.claimed(rows.worker(), lane="sms")

    with second.overtaken_by(lambda: report(id_, progress)) as receipt:
        rows.recorded(rows.result(claim, outcome, hold=True, provider_id="SM1"))

    receipt.result()
    assert rows.row(id_).status == status


@PROGRESS
def test_a_receipt_that_came_before_the_recovery_counts(progress: Progress, status: str) -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    rows.claimed(worker, lane="sms")

    report(id_, progress)
    bury(worker)

    assert rows.row(id_).status == status


@PROGRESS
def test_a_receipt_that_the_recovery_passes_over_waits_for_the_next(
    second: Second, progress: Progress, status: str
) -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    rows.claimed(worker, lane="sms")

    with transaction.atomic():
        report(id_, progress)
        assert second.run(lambda: bury(worker)) == []

    recover.recover_missing(rows.RESEND)
    assert rows.row(id_).status == status


# --- cancel against claim ---------------------------------------------------------------------------------


def test_a_cancel_that_came_first_is_passed_over_by_the_claim(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()

    with transaction.atomic():
        assert operate.cancel([id_], actor="ada") == {id_}
        assert second.run(lambda: rows.claimed(worker)) == []

    assert rows.row(id_).status == "canceled"
    assert rows.claimed(worker) == []


def test_a_cancel_that_came_second_cancels_nothing_of_what_is_being_sent(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()

    with second.overtaken_by(lambda: operate.cancel([id_], actor="ada")) as cancel:
        rows.claimed(worker)

    assert cancel.result() == set()
    assert (rows.row(id_).status, rows.row(id_).worker_id) == ("sending", worker)


def test_a_cancel_that_was_rolled_back_leaves_it_to_be_sent(second: Second) -> None:
    id_, worker = rows.accepted(), rows.worker()

    with transaction.atomic():
        operate.cancel([id_], actor="ada")
        assert second.run(lambda: rows.claimed(worker)) == []
        transaction.set_rollback(True)

    assert [claim.id for claim in rows.claimed(worker)] == [id_]


# --- purge against replay ---------------------------------------------------------------------------------


def purge_steps() -> Iterator[purge.Step]:
    return purge.purge(key_life=timedelta(hours=72), retention=timedelta(days=90))


def purged() -> tuple[int, int]:
    """(records, notifications)"""
    steps = list(purge_steps())
    return sum(step.records for step in steps), sum(step.notifications for step in steps)


def failed_long_ago(key: str | None = None) -> UUID:
    old = UUID(int=(int(LONG_AGO.timestamp() * 1000) << 80) | 0x7000_8000_0000_0000_0000 | secrets.randbits(32))
    lane = f"slack:{old}"
    rows.accepted(id=old, created_at=LONG_AGO, key=key, lane=lane)
    (claim,) = rows.claimed(rows.worker(), lane=lane)
    rows.recorded(rows.result(claim, Outcome.PERMANENT))
    Notification.objects.filter(pk=old).update(finished_at=LONG_AGO)
    return old


def failed_under_one_key(count: int) -> list[UUID]:
    """As a batch that was accepted whole."""
    ids = [failed_long_ago(key="first" if number == 0 else None) for number in range(count)]
    IdempotencyRecord.objects.filter(key="first").update(notification_ids=ids)
    return ids


def replay(*ids: UUID) -> set[UUID]:
    return set(operate.replay(ids, actor="ada"))


def known() -> set[UUID]:
    """Those that a retry with their key would find."""
    return {id_ for ids in IdempotencyRecord.objects.values_list("notification_ids", flat=True) for id_ in ids}


@pytest.mark.parametrize("key", ["a key", None])
def test_what_is_being_replayed_is_passed_over_by_the_purge(second: Second, key: str | None) -> None:
    id_ = failed_long_ago(key)

    with transaction.atomic():
        assert replay(id_) == {id_}
        assert second.run(purged) == (0, 0)

    assert rows.row(id_).status == "pending"
    assert rows.outcomes(id_) == [(1, "permanent", "", False)]
    assert purged() == (0, 0)
    assert known() == ({id_} if key else set())


@pytest.mark.parametrize("key", ["a key", None])
def test_what_was_purged_first_is_not_replayed(second: Second, key: str | None) -> None:
    id_ = failed_long_ago(key)

    with second.overtaken_by(lambda: replay(id_)) as replayed:
        assert purged() == (1 if key else 0, 1)

    assert replayed.result() == set()
    assert not Notification.objects.exists()
    assert not known()


def test_one_of_a_batch_that_is_being_replayed_keeps_the_batch_and_its_key(second: Second) -> None:
    ids = failed_under_one_key(3)

    with transaction.atomic():
        assert replay(ids[1]) == {ids[1]}
        assert second.run(purged) == (0, 0)

    assert known() == set(ids)
    assert purged() == (0, 0)


def test_a_batch_that_was_purged_first_is_not_replayed(second: Second) -> None:
    ids = failed_under_one_key(3)

    with second.overtaken_by(lambda: replay(*ids)) as replayed:
        assert purged() == (1, 3)

    assert replayed.result() == set()
    assert not known()


# Steps with the four below, a key to a step: before the first, after the look at the keys, after each of three keys'
# deletions, after the notifications', and after the look that finds no more.
@pytest.mark.parametrize("boundary", range(7))
def test_whatever_is_replayed_between_two_steps_of_a_purge_keeps_its_key(
    second: Second, monkeypatch: pytest.MonkeyPatch, boundary: int
) -> None:
    monkeypatch.setattr(purge, "BATCH", 1)
    ids = [*failed_under_one_key(2), failed_long_ago("second"), failed_long_ago("third"), failed_long_ago()]

    steps = purge_steps()
    taken = list(islice(steps, boundary))
    assert len(taken) == boundary
    left = set(Notification.objects.values_list("id", flat=True))
    assert second.run(lambda: replay(*ids)) == left
    taken += steps

    assert boundary < 6 or len(taken) == 6, "a step that was not interrupted"
    assert sum(step.notifications for step in taken) == len(ids) - len(left)
    assert set(Notification.objects.values_list("id", flat=True)) == left
    assert known() == left - {ids[-1]}  # that one had no key


# --- two callers, their keys in opposite order ------------------------------------------------------------


def accepted_together(client: Client, *keys: str, between: threading.Barrier | None = None) -> list[Accepted]:
    """All keys in one transaction of the caller's own."""
    answers = []
    with transaction.atomic():
        for key in keys:
            request = NotificationRequest(channel="slack", to="default", message=key)
            answers.append(accept(client, request, key=key))
            if between is not None and len(answers) == 1:
                between.wait(20)
    return answers


@pytest.mark.usefixtures("slack")
def test_of_two_callers_with_keys_in_opposite_order_one_stores_all_and_the_other_nothing(second: Second) -> None:
    client, both = ClientFactory(), threading.Barrier(2)

    def attempt(*keys: str) -> list[Accepted] | None:
        try:
            return accepted_together(client, *keys, between=both)
        except Unavailable:
            return None

    other = second.begin(lambda: attempt("b", "a"))
    answers = [attempt("a", "b"), other.result(20)]

    assert sorted(answer is None for answer in answers) == [False, True]
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 2
    (winner,) = [{each.notification_id for each in answer} for answer in answers if answer]
    assert set(Notification.objects.values_list("id", flat=True)) == winner

    again = accepted_together(client, "a", "b")  # whoever was refused tries again, and gets the other's answers

    assert [each.replayed for each in again] == [True, True]
    assert {each.notification_id for each in again} == winner


@pytest.mark.usefixtures("slack")
def test_callers_whose_keys_are_sorted_wait_for_each_other_and_both_are_answered(second: Second) -> None:
    client = ClientFactory()

    with second.overtaken_by(lambda: accepted_together(client, "a", "b")) as other:
        first = accepted_together(client, "a", "b")

    assert [each.replayed for each in first] == [False, False]
    assert [(each.body, each.replayed) for each in other.result()] == [(each.body, True) for each in first]


# --- the answer to a claim is lost ------------------------------------------------------------------------


@pytest.mark.usefixtures("slack")
def test_a_claim_whose_answer_was_lost_is_released_by_its_own_workers_relay(
    second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)  # as a worker's threads have it
    id_ = rows.accepted(lane="slack:default")
    lease = Lease()
    lease.start()
    delivery = Delivery(lease)
    actors = Actors(delivery)  # of no channel: nothing is claimed again
    relay = Relay(delivery, actors)
    try:
        eventually(lambda: lease.worker_id and lease.holds(lease.worker_id), what="a lease")
        with lossy_wire() as wire:
            wire.lose_the_answer_to("UPDATE")
            second.run(lambda: _drain_over(wire.settings, delivery))
            assert wire.lost == 1
        assert (rows.row(id_).status, rows.row(id_).worker_id) == ("sending", lease.worker_id)

        relay.start()
        eventually(lambda: rows.row(id_).status == "pending", what="released")
    finally:
        relay.stop()
        lease.stop()

    assert rows.outcomes(id_) == [(1, "released", "", False)]
    assert not rows.row(id_).possible_duplicate


def _drain_over(settings: dict[str, object], delivery: Delivery) -> None:
    connection.close()
    connection.settings_dict = settings
    delivery.drain("slack:default")
