"""What a relay sees between its looks at everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from notifications.actors import Actors
from notifications.cursors import Cursors
from notifications.delivery import Delivery
from notifications.lease import Lease
from notifications.models import Notification
from notifications.outbox import lanes
from notifications.outbox.claim import claim
from notifications.outbox.workers import glance
from notifications.relay import Relay

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)

LANE = "slack:ops"


def drained(cursors: Cursors, worker: object) -> None:
    stretches, whole = cursors.begin(LANE, in_full_flow=False)
    claims = claim(LANE, worker_id=worker, batch=10, started=True, stretches=stretches)  # type: ignore[arg-type]
    cursors.advance(LANE, claims, whole=whole, took=0.0)


@pytest.fixture
def cursors() -> Cursors:
    """Of a process that has drained a lane."""
    known = Cursors()
    rows.accepted()
    drained(known, rows.worker())
    return known


def test_a_lane_that_was_never_claimed_from_is_left_to_the_look_at_everything() -> None:
    rows.accepted()

    assert glance(Cursors().places()).due_in == {}


def test_nothing_is_seen_where_nothing_waits(cursors: Cursors) -> None:
    assert glance(cursors.places()).due_in == {}


@pytest.mark.parametrize("priority", [0, 1, 2])
def test_what_is_due_is_seen_whatever_its_priority(cursors: Cursors, priority: int) -> None:
    rows.accepted(priority=priority)

    assert glance(cursors.places()).due_in[LANE] <= 0


def test_the_sooner_of_two_is_told(cursors: Cursors) -> None:
    for minutes in (5, 3, 4):
        rows.accepted(send_at=datetime.now(UTC) + timedelta(minutes=minutes), priority=minutes - 3)

    assert glance(cursors.places()).due_in[LANE] == pytest.approx(180, abs=10)


def test_a_paused_lane_is_due_when_its_pause_ends(cursors: Cursors) -> None:
    rows.accepted()
    lanes.pause(LANE, timedelta(minutes=5), "429")

    assert glance(cursors.places()).due_in[LANE] == pytest.approx(300, abs=10)


def test_a_commit_that_came_late_is_seen_and_an_old_one_is_left_to_the_look_at_everything(cursors: Cursors) -> None:
    late = rows.accepted()
    Notification.objects.filter(pk=late).update(due_at=datetime.now(UTC) - timedelta(seconds=20))
    assert glance(cursors.places()).due_in[LANE] < 0

    Notification.objects.filter(pk=late).update(due_at=datetime.now(UTC) - timedelta(minutes=20))
    assert glance(cursors.places()).due_in == {}


def test_a_lane_that_was_never_claimed_from_is_due_when_the_last_whole_look_said_so() -> None:
    delivery = Delivery(Lease())
    relay = Relay(delivery, Actors(delivery))
    worker = rows.worker()
    rows.accepted(send_at=datetime.now(UTC) + timedelta(minutes=3))
    relay._due_in(worker)
    relay._whole_next = monotonic() + 60  # as after a look that took seconds
    assert delivery.cursors.places() == []

    assert relay._due_in(worker)[LANE] == pytest.approx(180, abs=10)
