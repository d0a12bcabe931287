from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from notifications import retry
from notifications.models import MAX_LOSSES, Attempt, Event, Notification, Worker
from notifications.outbox.recover import Policy, bury, recover_missing, retire, take_back
from notifications.states import Event as Edge
from notifications.states import Outcome, Status

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)

PENDING = Status.PENDING


def test_a_dead_workers_started_claims_are_lost_and_sent_again() -> None:
    id_, worker = rows.accepted(), rows.worker()
    rows.claimed(worker)

    taken = bury(worker, observed_beat=0, policies=rows.RESEND)

    assert taken is not None
    assert [(t.id, t.lane, t.status, t.outcome) for t in taken] == [(id_, "slack:ops", "pending", "lost")]
    row = rows.row(id_)
    assert (row.status, row.losses, row.possible_duplicate, row.worker_id) == ("pending", 1, True, None)
    assert rows.outcomes(id_) == [(1, "lost", "", False)]
    assert not Worker.objects.exists()
    assert Event.objects.get().kind == "lost"


def test_what_never_started_is_released_without_a_mark() -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    rows.claimed(worker, lane="sms", started=False)

    bury(worker, observed_beat=0, policies=rows.RESEND)

    row = rows.row(id_)
    assert (row.status, row.losses, row.possible_duplicate) == ("pending", 0, False)
    assert rows.outcomes(id_) == [(1, "released", "", False)]


def test_what_started_under_hold_is_unknown() -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    (claimed,) = rows.claimed(worker, lane="sms", started=False)
    rows.recorded(next_claim=claimed)

    bury(worker, observed_beat=0, policies=rows.RESEND)

    assert (rows.row(id_).status, rows.row(id_).possible_duplicate) == ("unknown", True)


def test_a_channel_that_the_settings_no_longer_know_is_held() -> None:
    id_, worker = rows.accepted(lane="pager"), rows.worker()
    rows.claimed(worker, lane="pager")

    bury(worker, observed_beat=0, policies=rows.RESEND)

    assert rows.row(id_).status == "unknown"


def test_a_beat_that_moved_saves_its_worker() -> None:
    id_, worker = rows.accepted(), rows.worker()
    rows.claimed(worker)
    Worker.objects.update(beat=1)

    assert bury(worker, observed_beat=0, policies=rows.RESEND) is None
    assert rows.row(id_).status == "sending"


def test_claims_without_a_lease_are_found() -> None:
    id_, worker, alive = rows.accepted(), rows.worker(), rows.worker()
    rows.claimed(worker)
    other = rows.accepted()
    rows.claimed(alive)
    Worker.objects.filter(pk=worker).delete()

    assert [t.id for t in recover_missing(rows.RESEND)] == [id_]
    assert rows.row(other).worker_id == alive


def test_the_fifth_loss_asks_for_a_person() -> None:
    id_, worker = rows.accepted(), rows.worker()
    Notification.objects.update(losses=MAX_LOSSES - 1)
    rows.claimed(worker)

    bury(worker, observed_beat=0, policies=rows.RESEND)

    assert (rows.row(id_).status, rows.row(id_).losses) == ("unknown", MAX_LOSSES)


def test_a_retiring_worker_gives_back_what_it_holds() -> None:
    id_, worker = rows.accepted(lane="sms"), rows.worker()
    rows.claimed(worker, lane="sms", started=False)

    assert [t.outcome for t in retire(worker, rows.RESEND)] == [Outcome.RELEASED]
    assert (rows.row(id_).status, Worker.objects.count()) == ("pending", 0)


def test_only_the_named_claims_at_their_attempt_are_taken_back() -> None:
    abandoned, held, renewed, worker = rows.accepted(), rows.accepted(), rows.accepted(), rows.worker()
    rows.claimed(worker)
    Notification.objects.filter(pk=renewed).update(attempt=2)

    taken = take_back([worker], rows.RESEND, detail="test", only=[(abandoned, 1), (renewed, 1)])

    assert [t.id for t in taken] == [abandoned]
    assert {rows.row(held).status, rows.row(renewed).status} == {"sending"}


def test_more_than_one_statement_takes_are_all_recovered() -> None:
    worker = rows.worker()
    for _ in range(1005):
        rows.accepted()
    rows.claimed(worker, batch=2000)

    taken = bury(worker, observed_beat=0, policies=rows.RESEND)

    assert taken is not None
    assert len(taken) == 1005
    assert set(Notification.objects.values_list("status", flat=True)) == {"pending"}


BACKUPS = {
    **rows.RESEND,
    "slack@two": Policy("other_slack", hold_unknown=False),
    "sms@keyed": Policy(
        "keyed", hold_unknown=True, deduplicates_for=timedelta(hours=1), send_timeout=timedelta(seconds=10)
    ),
}


@pytest.mark.parametrize("mark", ["", "~test:"])
def test_the_attempt_of_a_dead_worker_names_the_backend_of_its_lane(mark: str) -> None:
    lane = f"{mark}slack@two:ops"
    id_, worker = rows.accepted(lane=lane, channel="slack"), rows.worker()
    rows.claimed(worker, lane=lane)

    bury(worker, observed_beat=0, policies=BACKUPS)

    assert (Attempt.objects.get().backend, rows.row(id_).lane) == ("other_slack", lane)


def lost_under_key() -> UUID:
    """By a backend that takes keys, under `hold`."""
    id_, worker = rows.accepted(lane="sms@keyed", channel="sms"), rows.worker()
    (claimed,) = rows.claimed(worker, lane="sms@keyed", started=False)
    rows.recorded(next_claim=claimed)
    bury(worker, observed_beat=0, policies=BACKUPS)
    return id_


def test_what_was_lost_under_a_key_is_sent_again_without_a_mark() -> None:
    row = rows.row(lost_under_key())

    assert (row.status, row.losses, row.possible_duplicate) == ("pending", 1, False)
    assert row.deduplicated_until == Attempt.objects.get().deduplicated_until
    assert row.deduplicated_until == Attempt.objects.get().started_at + timedelta(hours=1)
    (again,) = rows.claimed(rows.worker(), lane="sms@keyed")
    assert again.key_left == pytest.approx(3600, abs=5)


@pytest.mark.parametrize("ago", [timedelta(hours=1), timedelta(minutes=59, seconds=55)])
def test_a_key_is_as_old_as_its_first_send_and_must_outlast_the_next(ago: timedelta) -> None:
    id_ = rows.accepted(lane="sms@keyed", channel="sms")
    worker = rows.worker()
    (first,) = rows.claimed(worker, lane="sms@keyed", started=False)
    rows.recorded(rows.result(first, Outcome.TRANSIENT, backend="keyed", decision=retry.Decision(Edge.RETRY, PENDING)))
    Attempt.objects.update(started_at=timezone.now() - ago)
    (second,) = rows.claimed(worker, lane="sms@keyed", started=False)
    rows.recorded(next_claim=second)

    bury(worker, observed_beat=0, policies=BACKUPS)

    row = rows.row(id_)
    assert (row.status, row.possible_duplicate, row.deduplicated_until) == ("unknown", True, None)


def test_the_fifth_loss_asks_for_a_person_whatever_the_key() -> None:
    id_, worker = rows.accepted(lane="sms@keyed", channel="sms"), rows.worker()
    Notification.objects.update(losses=MAX_LOSSES - 1)
    (claimed,) = rows.claimed(worker, lane="sms@keyed", started=False)
    rows.recorded(next_claim=claimed)

    bury(worker, observed_beat=0, policies=BACKUPS)

    assert (rows.row(id_).status, rows.row(id_).possible_duplicate) == ("unknown", True)


def test_what_was_not_begun_stays_under_its_key() -> None:
    id_ = lost_under_key()
    until, worker = rows.row(id_).deduplicated_until, rows.worker()
    rows.claimed(worker, lane="sms@keyed", started=False)

    bury(worker, observed_beat=0, policies=BACKUPS)

    row = rows.row(id_)
    assert (row.status, row.deduplicated_until, row.possible_duplicate) == ("pending", until, False)


def test_a_backend_that_takes_no_keys_any_more_marks_what_was_lost_under_one() -> None:
    id_, worker = lost_under_key(), rows.worker()
    (claimed,) = rows.claimed(worker, lane="sms@keyed", started=False)
    rows.recorded(next_claim=claimed)

    bury(worker, observed_beat=0, policies={"sms@keyed": Policy("keyed", hold_unknown=False)})

    row = rows.row(id_)
    assert (row.status, row.possible_duplicate, row.deduplicated_until) == ("pending", True, None)
