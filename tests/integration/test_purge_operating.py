"""What a purge deletes of the books of operating, and that what is redacted is not sent again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from notifications import replay
from notifications.models import Notification
from notifications.models.operations import Operation, Tally
from notifications.outbox import operate
from notifications.outbox.purge import purge
from tests.integration.outbox import rows

pytestmark = pytest.mark.django_db(transaction=True)


def purged(*, counting: bool = False) -> None:
    list(purge(key_life=timedelta(days=3), retention=timedelta(days=30), counting=counting))


def tally(*, days: int) -> Tally:
    minute = timezone.now() - timedelta(days=days)
    return Tally.objects.create(minute=minute, channel="slack", kind="sent", code="", count=1)


def operation(state: Operation.State, *, days: int) -> Operation:
    at = timezone.now() - timedelta(days=days)
    return Operation.objects.create(at=at, actor="ops", via=Operation.Via.COMMAND, act="resend", state=state)


def test_tallies_go_after_thirty_days_and_younger_ones_stay() -> None:
    tally(days=31)
    young = tally(days=29)
    purged()
    assert [each.pk for each in Tally.objects.all()] == [young.pk]


def test_ended_acts_go_after_four_hundred_days_and_unfinished_ones_never() -> None:
    operation(Operation.State.DONE, days=401)
    operation(Operation.State.STOPPED, days=401)
    stay = {operation(Operation.State.RUNNING, days=401).pk, operation(Operation.State.DONE, days=399).pk}
    purged()
    assert set(Operation.objects.values_list("pk", flat=True)) == stay


def test_a_dry_run_deletes_none_of_the_books() -> None:
    tally(days=31)
    operation(Operation.State.DONE, days=401)
    purged(counting=True)
    assert Tally.objects.count() == Operation.objects.count() == 1


def test_what_is_redacted_is_not_replayed() -> None:
    one, other = rows.accepted(), rows.accepted()
    Notification.objects.update(status="failed", finished_at=timezone.now())
    Notification.objects.filter(pk=one).update(redacted_at=timezone.now())
    assert replay.replayable([one, other]) == [other]
    assert set(operate.replay([one, other], actor="ops")) == {other}
