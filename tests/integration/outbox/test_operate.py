from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction

from notifications import retry
from notifications.models import Event, LaneState, Notification, Worker
from notifications.outbox import books, lanes
from notifications.outbox.operate import cancel, expire, replay, reschedule
from notifications.outbox.statement import direct_connection, run
from notifications.outbox.workers import sweep
from notifications.states import Event as Edge
from notifications.states import Outcome, Status

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)


def failed() -> UUID:
    id_, worker = rows.accepted(), rows.worker()
    (claimed,) = rows.claimed(worker)
    rows.recorded(rows.result(claimed, Outcome.PERMANENT, code="no_text"))
    return id_


def test_a_replay_returns_a_failed_one_with_fresh_budgets() -> None:
    id_ = failed()
    Notification.objects.update(tries=3, losses=2)

    assert replay([id_], actor="ada") == {id_: "slack:ops"}

    row = rows.row(id_)
    assert (row.status, row.tries, row.losses, row.attempt, row.finished_at) == ("pending", 0, 0, 1, None)
    event = Event.objects.get()
    assert (event.kind, event.actor) == ("replayed", "ada")


def test_a_replayed_unknown_is_marked_as_a_possible_duplicate() -> None:
    id_ = rows.accepted(lane="sms")
    worker = rows.worker()
    (first,) = rows.claimed(worker, lane="sms")
    rows.recorded(rows.result(first, Outcome.IN_DOUBT, hold=True))
    replay([id_], actor="ada")

    (second,) = rows.claimed(worker, lane="sms")
    rows.recorded(rows.result(second, Outcome.ACCEPTED))

    assert rows.outcomes(id_) == [(1, "in_doubt", "", False), (2, "accepted", "", True)]


@pytest.mark.parametrize("off", ["", "enable_nestloop", "enable_hashjoin", "enable_nestloop, enable_hashjoin"])
@pytest.mark.parametrize("believed", [0, 1, 100_000])  # rows: the planner begins now with the one side, now the other
def test_what_is_left_alone_is_not_locked_whatever_the_plan(off: str, believed: int) -> None:
    now = datetime.now(UTC)
    short_lived = rows.accepted(expires_at=now + timedelta(hours=1))
    sent = rows.accepted(lane="sms")
    rows.recorded(rows.result(rows.claimed(rows.worker(), lane="sms")[0], Outcome.ACCEPTED))
    run("UPDATE pg_class SET reltuples = %(rows)s, relpages = 1 WHERE relname = 'notification'", {"rows": believed})
    connection.close()  # with the plans of its session

    with transaction.atomic(), direct_connection("somebody else") as other:
        for setting in filter(None, off.split(", ")):
            run(f"SET LOCAL {setting} = off", {})  # type: ignore[arg-type]  # one of four words above
        assert not reschedule([short_lived, sent], send_at=now + timedelta(hours=2), actor="ada")
        assert not replay([short_lived, sent], actor="ada")
        assert not cancel([sent], actor="ada")
        free = other.execute("SELECT id FROM notification FOR UPDATE SKIP LOCKED").fetchall()

    assert {row[0] for row in free} == {short_lived, sent}


def test_replaying_twice_doubles_nothing() -> None:
    id_ = failed()
    replay([id_], actor="ada")

    assert replay([id_], actor="ada") == {}
    assert Event.objects.count() == 1


def test_what_is_sent_or_pending_or_expired_is_not_replayed() -> None:
    expired = failed()
    pending = rows.accepted()
    Notification.objects.filter(pk=expired).update(expires_at=datetime.now(UTC) - timedelta(minutes=1))

    assert replay([pending, expired], actor="ada") == {}


def test_a_cancel_stops_what_is_pending() -> None:
    id_ = rows.accepted()

    assert cancel([id_], actor="ada") == {id_}
    assert rows.claimed(rows.worker()) == []
    assert rows.row(id_).status == "canceled"


def test_what_is_being_sent_cannot_be_canceled() -> None:
    id_ = rows.accepted()
    rows.claimed(rows.worker())

    assert cancel([id_], actor="ada") == set()
    assert rows.row(id_).status == "sending"


def test_what_outlived_its_time_fails_even_on_a_paused_lane() -> None:
    id_ = rows.accepted(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    lanes.pause("slack:ops", timedelta(hours=1), "paused")

    assert len(expire()) == 1
    assert (rows.row(id_).status, rows.row(id_).error_code) == ("failed", "expired")


def test_the_longer_of_two_pauses_holds() -> None:
    lanes.pause("slack:ops", timedelta(minutes=10), "first")

    assert lanes.pause("slack:ops", timedelta(minutes=1), "second") > 590


def test_a_growing_pause_doubles_with_each_refusal_in_a_row() -> None:
    seconds = []
    for _ in range(4):
        seconds.append(lanes.pause_growing("sms", timedelta(seconds=10), timedelta(seconds=50), "20003"))
        LaneState.objects.update(paused_until=datetime.now(UTC) - timedelta(seconds=1))  # the pause has passed

    assert seconds == pytest.approx([10, 20, 40, 50], rel=0.1)


def test_workers_that_meet_the_same_refusal_count_as_one() -> None:
    for _ in range(3):
        lanes.pause_growing("sms", timedelta(seconds=10), timedelta(seconds=50), "20003")

    assert LaneState.objects.get().failures == 1


def test_the_sweep_sees_lanes_claims_and_the_missing() -> None:
    worker, gone = rows.worker(), rows.worker()
    rows.accepted()
    rows.claimed(worker)
    rows.accepted(lane="sms")
    rows.claimed(gone, lane="sms")
    Worker.objects.filter(pk=gone).delete()
    rows.accepted(lane="email", send_at=datetime.now(UTC) + timedelta(seconds=100))
    rows.accepted(lane="email", priority=0, send_at=datetime.now(UTC) + timedelta(seconds=50))
    rows.accepted(lane="slack:dev")

    seen = sweep(worker)

    assert seen.workers_missing
    assert len(seen.own_claims) == 1
    assert seen.due_in["email"] == pytest.approx(50, abs=2)
    assert seen.due_in["slack:dev"] <= 0
    assert set(seen.due_in) == {"email", "slack:dev"}


def test_a_paused_lane_is_due_when_the_pause_ends() -> None:
    rows.accepted()
    lanes.pause("slack:ops", timedelta(seconds=40), "slow")

    assert sweep(rows.worker()).due_in["slack:ops"] == pytest.approx(40, abs=2)


@pytest.mark.parametrize(
    ("lane", "first"),
    [
        ("sms@spare", "sms"),
        ("slack@spare:ops", "slack:ops"),
        ("~test:slack@spare:ops", "~test:slack:ops"),
        ("slack:ops@home", "slack:ops@home"),
        ("sms", "sms"),
    ],
)
def test_a_replay_begins_with_the_first_backend(lane: str, first: str) -> None:
    id_ = failed()
    Notification.objects.update(lane=lane, deduplicated_until=datetime.now(UTC))

    assert replay([id_], actor="ada") == {id_: first}
    assert (rows.row(id_).lane, rows.row(id_).deduplicated_until) == (first, None)


def test_what_may_have_been_sent_under_a_key_is_unknown_when_its_life_ends() -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    doubtful = rows.accepted(expires_at=past)
    doubt()
    known = rows.accepted(expires_at=past)

    assert len(expire()) == 2
    assert [rows.row(id_).status for id_ in (known, doubtful)] == ["failed", "unknown"]
    row = rows.row(doubtful)
    assert (row.possible_duplicate, row.deduplicated_until, row.finished_at) == (True, None, None)
    assert books.audit().violations == []


def doubt() -> None:
    """The first send of the only one may have been taken, and its provider knows the key."""
    (claimed,) = rows.claimed(rows.worker())
    under_key = retry.Decision(Edge.IN_DOUBT, Status.PENDING, under_key=True)
    rows.recorded(rows.result(claimed, Outcome.IN_DOUBT, decision=under_key, key_left=3600.0))
