import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from notifications.cursors import Cursors
from notifications.models import Notification
from notifications.outbox import lanes
from notifications.outbox.claim import claim
from notifications.outbox.stretches import FIRST, LAST, START, Position, Stretch
from notifications.states import Outcome, Priority

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_claim_raises_the_attempt_and_names_its_worker() -> None:
    id_, worker = rows.accepted(), rows.worker()

    (claimed,) = rows.claimed(worker)

    assert (claimed.id, claimed.attempt, claimed.body) == (id_, 1, "hello")
    row = rows.row(id_)
    assert (row.status, row.attempt, row.worker_id) == ("sending", 1, worker)
    assert row.started_at is not None


def test_under_hold_a_claim_is_not_a_start() -> None:
    id_ = rows.accepted(lane="sms")

    rows.claimed(rows.worker(), lane="sms", started=False)

    assert rows.row(id_).started_at is None


def test_high_priority_goes_first_and_then_the_oldest() -> None:
    low, normal, second, high = (rows.accepted(priority=p) for p in (2, 1, 1, 0))

    assert [c.id for c in rows.claimed(rows.worker())] == [high, normal, second, low]


def test_a_batch_is_filled_across_priorities_and_no_further() -> None:
    for priority in (2, 2, 1, 1, 0):
        rows.accepted(priority=priority)

    assert [c.priority for c in rows.claimed(rows.worker(), batch=4)] == [
        Priority.HIGH, Priority.NORMAL, Priority.NORMAL, Priority.LOW,
    ]  # fmt: skip


def test_what_is_due_later_waits() -> None:
    rows.accepted(send_at=datetime.now(UTC) + timedelta(hours=1))

    assert rows.claimed(rows.worker()) == []


def test_another_lane_is_left_alone() -> None:
    rows.accepted(lane="slack:dev")

    assert rows.claimed(rows.worker(), lane="slack:ops") == []


def test_a_paused_lane_yields_nothing_until_it_is_resumed() -> None:
    rows.accepted()
    lanes.pause("slack:ops", timedelta(minutes=5), "429: slow down")
    assert rows.claimed(rows.worker()) == []

    lanes.resume("slack:ops")

    assert len(rows.claimed(rows.worker())) == 1


def test_two_workers_never_claim_the_same_and_never_wait() -> None:
    ids = {rows.accepted() for _ in range(20)}
    first, second = rows.worker(), rows.worker()
    theirs: list[set[object]] = []

    def other() -> None:
        theirs.append({c.id for c in rows.claimed(second, batch=20)})
        connection.close()

    with transaction.atomic():
        ours = {c.id for c in rows.claimed(first, batch=10)}
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(timeout=10)
        assert not thread.is_alive()

    assert len(ours) == 10
    assert theirs == [ids - ours]


def test_one_with_losses_is_claimed_alone() -> None:
    plain, lossy, last = rows.accepted(), rows.accepted(), rows.accepted()
    Notification.objects.filter(pk=lossy).update(losses=1)
    worker = rows.worker()

    batches = [[c.id for c in rows.claimed(worker)] for _ in range(4)]

    assert batches == [[plain], [lossy], [last], []]


def test_the_cursor_comes_as_far_as_what_was_claimed_before_one_with_losses() -> None:
    ids = [rows.accepted() for _ in range(3)]
    Notification.objects.filter(pk=ids[2]).update(losses=1)

    claims = rows.claimed(rows.worker())

    assert [(c.id, c.due_at) for c in claims] == [(ids[0], None), (ids[1], rows.row(ids[1]).due_at)]
    alone = rows.claimed(rows.worker())
    assert [(c.id, c.due_at) for c in alone] == [(ids[2], rows.row(ids[2]).due_at)]


@pytest.mark.parametrize(
    ("first", "expected"), [(Priority.HIGH, {0: 4}), (Priority.NORMAL, {1: 3, 2: 1}), (Priority.LOW, {2: 3, 1: 1})]
)
def test_the_priority_that_comes_first_fills_the_batch_and_the_others_what_it_leaves(
    first: Priority, expected: dict[int, int]
) -> None:
    for priority, count in ((0, 5), (1, 3), (2, 3)):
        for _ in range(count):
            rows.accepted(priority=priority)

    stretches, _ = Cursors().begin("slack:ops", in_full_flow=False, first=first)
    claims = claim("slack:ops", worker_id=rows.worker(), batch=4, started=True, stretches=stretches)

    assert Counter(c.priority for c in claims) == expected
    assert [c.priority for c in claims] == sorted(c.priority for c in claims)


def test_the_cursor_passes_over_what_lies_before_it() -> None:
    rows.accepted()
    second = rows.row(rows.accepted())
    stretches = [
        Stretch(1, FIRST, 1, START.due_at, Position(second.due_at, second.id)),
        Stretch(1, 1, LAST, START.due_at, None),
    ]

    claims = claim("slack:ops", worker_id=rows.worker(), batch=10, started=True, stretches=stretches)

    assert [c.id for c in claims] == [second.id]


def test_an_expired_claim_says_so_by_the_databases_clock() -> None:
    rows.accepted(expires_at=datetime.now(UTC) - timedelta(seconds=5))

    (claimed,) = rows.claimed(rows.worker())

    assert claimed.expires_in is not None
    assert claimed.expires_in < -4


def test_each_claim_is_one_attempt_more() -> None:
    id_, worker = rows.accepted(), rows.worker()
    for number in (1, 2, 3):
        (claimed,) = rows.claimed(worker)
        assert claimed.attempt == number
        rows.recorded(rows.result(claimed, Outcome.RELEASED))

    assert [o[:2] for o in rows.outcomes(id_)] == [(1, "released"), (2, "released"), (3, "released")]
