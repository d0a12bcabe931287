"""A chore is one worker's at a time: by the database's clock, and for as long as that worker has its lease."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from notifications.models import Chore, Worker
from notifications.outbox import chores
from tests.integration.outbox import rows
from tests.integration.outbox.second import Second

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def due() -> Chore:
    return Chore.objects.create(name="purge", last_at=timezone.now() - 2 * HOUR)


def take(worker: UUID) -> dict[str, int] | None:
    return chores.take("purge", worker=worker, every=HOUR)


def test_one_that_nobody_has_heard_of_is_due_an_interval_from_now() -> None:
    assert take(rows.worker()) is None

    Chore.objects.update(last_at=timezone.now() - HOUR)
    assert take(rows.worker()) == {}


def test_what_is_not_due_is_left(due: Chore) -> None:
    Chore.objects.update(last_at=timezone.now() - timedelta(minutes=59))

    assert take(rows.worker()) is None


def test_what_one_worker_has_is_no_others(due: Chore) -> None:
    first, second = rows.worker(), rows.worker()

    assert take(first) == {}
    assert take(second) is None
    assert take(first) == {}, "as after an error, from which it goes on"


def test_of_two_that_come_at_once_one_has_it_and_the_other_does_not_wait(second: Second, due: Chore) -> None:
    one, other = rows.worker(), rows.worker()
    with transaction.atomic():
        assert take(one) == {}
        assert second.run(lambda: take(other)) is None

    assert take(other) is None


def test_who_has_no_lease_takes_nothing(due: Chore) -> None:
    assert take(uuid4()) is None


def test_what_a_worker_leaves_with_its_lease_another_goes_on_with(due: Chore) -> None:
    dead, heir = rows.worker(), rows.worker()
    take(dead)
    assert chores.hold("purge", worker=dead, done={"keys": 3})

    Worker.objects.filter(pk=dead).delete()

    assert not chores.hold("purge", worker=dead)
    assert not chores.hold("purge", worker=dead, done={"keys": 4})
    assert take(heir) == {"keys": 3}
    assert not chores.end("purge", worker=dead, result="nothing of its business")
    chores.lay_down("purge", worker=dead)
    assert chores.hold("purge", worker=heir)


def test_what_is_laid_down_stays_due_with_what_was_done(due: Chore) -> None:
    first = rows.worker()
    take(first)
    chores.hold("purge", worker=first, done={"keys": 3})

    chores.lay_down("purge", worker=first)

    assert not chores.hold("purge", worker=first)
    assert take(rows.worker()) == {"keys": 3}


def test_what_has_ended_says_what_came_of_it_and_is_due_again_later(due: Chore) -> None:
    worker = rows.worker()
    take(worker)
    chores.hold("purge", worker=worker, done={"keys": 3})

    assert chores.end("purge", worker=worker, result="deleted 3 keys")

    due.refresh_from_db()
    assert (due.taken_by, due.taken_at, due.done, due.last_result) == (None, None, {}, "deleted 3 keys")
    assert due.last_by == str(Worker.objects.get())
    assert timezone.now() - due.last_at < timedelta(minutes=1)
    assert take(worker) is None
