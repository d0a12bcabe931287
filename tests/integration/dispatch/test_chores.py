"""What is past its life goes without anybody asking, by one worker at a time, whoever dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from time import monotonic
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from notifications.models import Attempt, Chore, Notification, Operation, Purge, Worker
from notifications.outbox import books
from tests import processes
from tests.eventually import eventually
from tests.integration.outbox.many import sent_long_ago

pytestmark = pytest.mark.django_db(transaction=True)

BATCH = 500  # of a purge's step


@pytest.fixture
def due(transactional_db: None) -> Chore:
    """As if an hour had passed."""
    return Chore.objects.create(name="purge", last_at=timezone.now() - timedelta(hours=2))


def left() -> int:
    return Notification.objects.count()


def ended() -> Chore | None:
    return Chore.objects.exclude(last_result="").filter(name="purge", taken_by=None).first()


def holder() -> Worker | None:
    return Worker.objects.filter(pk__in=Chore.objects.values("taken_by")).first()


def test_what_is_past_its_life_goes_without_anybody_asking(due: Chore) -> None:
    sent_long_ago(1200)

    with processes.worker() as worker:
        done = eventually(ended, what="a purge's end")
        name = str(Worker.objects.get())
        assert '"chore.done"' in worker.log

    assert (left(), Attempt.objects.count()) == (0, 0)
    assert done.last_result == "deleted 1,200 notifications, 1,200 attempts"
    assert done.last_by == name
    assert timezone.now() - done.last_at < timedelta(minutes=1)
    assert not Operation.objects.exists(), "nobody asked for it"
    assert books.audit().violations == []


def test_what_is_to_be_forgotten_is_redacted_without_anybody_asking(transactional_db: None) -> None:
    Chore.objects.create(name="redact", last_at=timezone.now() - timedelta(hours=2))
    sent_long_ago(3)

    with processes.worker(REDACT_AFTER_DAYS="50", RETENTION_DAYS="1000"):
        eventually(lambda: Chore.objects.filter(last_result="redacted 3 notifications"), what="a redaction's end")

    assert set(Notification.objects.values_list("recipient", "body")) == {("", "")}


def test_a_worker_that_is_told_not_to_does_none(due: Chore) -> None:
    sent_long_ago(1)

    with processes.worker(CHORES="off") as idle, processes.worker():
        eventually(ended, what="a purge by the other")
        assert '"chore.' not in idle.log


@contextmanager
def held_in_the_third_step() -> Iterator[None]:
    """A purge goes no further for as long as this lasts: an attempt that it is to delete is another's."""
    with transaction.atomic():
        assert Attempt.objects.select_for_update().filter(notification_id=UUID(int=2 * BATCH + 1)).get()
        yield


def test_of_several_workers_one_does_it(due: Chore) -> None:
    sent_long_ago(6 * BATCH)
    with ExitStack() as running:
        with held_in_the_third_step():
            workers = [running.enter_context(processes.worker())]
            eventually(lambda: left() == 4 * BATCH, what="a purge in its third step")
            first = holder()
            workers += [running.enter_context(processes.worker()) for _ in range(2)]  # each looks when it begins
            assert holder() == first

        done = eventually(ended, what="a purge's end")

        assert done.last_by == str(first)
        assert "".join(worker.log for worker in workers).count('"chore.done"') == 1
    assert left() == 0
    assert sum(Purge.objects.values_list("notifications", flat=True)) == 6 * BATCH


def test_where_a_worker_is_killed_in_the_middle_another_goes_on_within_seconds(due: Chore) -> None:
    sent_long_ago(6 * BATCH)
    with ExitStack() as running:
        with held_in_the_third_step():
            for _ in range(2):
                running.enter_context(processes.worker())
            eventually(lambda: left() == 4 * BATCH, what="a purge in its third step")
            victim = holder()
            assert victim is not None
            os.kill(victim.pid, signal.SIGKILL)
            killed = monotonic()

            # The dead one's session waits on in the database, with that step's rows: those are passed over.
            done = eventually(ended, what="the other's end", seconds=30)
            took = monotonic() - killed
            assert left() == BATCH

        eventually(lambda: left() == 0, what="the end of the step that was held")
        assert done.last_by == str(Worker.objects.get()) != str(victim)

    print(f"another went on and came to the end {took:.1f} s after the kill")
    assert took < 10, f"{took:.1f} s"
    assert done.last_result == "deleted 2,500 notifications, 2,500 attempts"
    assert books.audit().violations == []


def test_a_worker_that_is_asked_to_go_lays_it_down_and_the_next_goes_on(due: Chore) -> None:
    sent_long_ago(6 * BATCH)
    with processes.worker() as worker:
        with held_in_the_third_step():
            eventually(lambda: left() == 4 * BATCH, what="a purge in its third step")
            worker.terminate()
            eventually(lambda: "Shutting down..." in worker.log, what="a worker that has heard of it")
        assert worker.wait() == 0
        assert '"chore.laid_down"' in worker.log
    assert left() == 3 * BATCH
    chore = Chore.objects.get(name="purge")
    assert (chore.taken_by, chore.last_result) == (None, "")
    assert chore.done["notifications"] == 3 * BATCH

    with processes.worker():
        done = eventually(ended, seconds=60, what="a purge's end")

    assert left() == 0
    assert done.last_result == "deleted 3,000 notifications, 3,000 attempts"


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_a_command_that_is_interrupted_keeps_what_it_had_done() -> None:
    sent_long_ago(6 * BATCH)
    command = [sys.executable, "manage.py", "purge_notifications", "--actor", "ada"]
    with held_in_the_third_step():
        running = processes.Running(command, processes.environment())
        try:
            eventually(lambda: left() == 4 * BATCH, what="a purge in its third step")
            running.popen.send_signal(signal.SIGINT)
            assert running.wait() == 130, running.log
            assert "Interrupted. Deleted 0 idempotency keys" in running.log
        finally:
            running.end()

    kept = Operation.objects.get()
    assert (kept.act, kept.actor, kept.touched) == ("purge", "ada", 2 * BATCH)
    assert kept.subject == "deleted 1,000 notifications, 1,000 attempts"
