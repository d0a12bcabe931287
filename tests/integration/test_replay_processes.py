"""A replay's process is killed, in whatever moment, and others go on at once: each notification is replayed once."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from uuid import UUID

import pytest
from django.db import connection, transaction

from channels.sandbox.server import Sandbox
from notifications.models import Attempt, Event, Notification, Operation
from tests.eventually import eventually
from tests.integration.outbox.many import failed
from tests.integration.outbox.second import somebody_waits_for_us
from tests.processes import Running, environment, worker

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 3_000


@contextmanager
def replaying(*arguments: str) -> Iterator[Running]:
    running = Running([sys.executable, "manage.py", "replay_outbox", "--yes", *arguments], environment())
    try:
        yield running
    finally:
        running.end()


def replayed() -> int:
    return Event.objects.filter(kind="replayed").count()


def kill(running: Running, when: Callable[[], object], what: str) -> None:
    eventually(lambda: running.popen.poll() is not None or when(), seconds=30, what=what)
    assert running.popen.poll() is None, running.log
    os.kill(running.popen.pid, signal.SIGKILL)
    running.wait()


def all_once() -> bool:
    """Each was replayed, and no one twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT notification_id) FROM event WHERE kind = 'replayed'")
        events: tuple[int, int] = cursor.fetchone()
    return events == (MANY, MANY) and Notification.objects.filter(status="pending").count() == MANY


def test_killed_between_two_batches_it_goes_on_behind_the_last() -> None:
    failed(MANY)
    with replaying("--rate", "2000", "--actor", "ada") as first:
        kill(first, lambda: replayed() > 400, "some batches")
    before = replayed()
    interrupted = Operation.objects.get()
    assert 400 < before < MANY
    assert (interrupted.state, interrupted.touched) == ("running", before)

    with replaying("--resume", "--actor", "bob") as second:
        assert second.wait(60) == 0, second.log
        told = second.log

    assert all_once()
    assert f"Replay {interrupted.pk} by ada (all that failed) was interrupted after {before:,} of 3,000." in told
    assert "Replayed 3,000 of 3,000 notifications." in told
    interrupted.refresh_from_db()
    assert (interrupted.state, interrupted.touched, interrupted.left_alone) == ("done", MANY, 0)
    assert interrupted.actor == "ada"
    assert re.fullmatch(r"gone on with by bob at .* UTC", interrupted.detail)


def test_killed_in_the_middle_of_a_batch_that_batch_was_not_done() -> None:
    failed(MANY)
    held = UUID(int=1_234)  # of the third batch
    with replaying() as first:
        with transaction.atomic():
            Notification.objects.select_for_update().get(pk=held)
            kill(first, somebody_waits_for_us, "a batch that waits for the row")
        # Its server finds nobody at the other end once the row is free, and takes back what it had done.
        eventually(lambda: not others_in_a_transaction(), what="the end of its transaction")
    assert replayed() == 1_000
    assert Operation.objects.get().touched == 1_000

    with replaying("--resume") as second:
        assert second.wait(60) == 0, second.log

    assert all_once()
    assert Operation.objects.get().touched == MANY


def others_in_a_transaction() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND xact_start IS NOT NULL"
        )
        return bool(cursor.fetchone()[0])


def test_two_that_go_on_with_the_same_one_at_once_double_nothing() -> None:
    failed(MANY)
    with replaying("--rate", "2000") as first:
        kill(first, lambda: replayed() > 400, "some batches")

    with replaying("--resume", "--rate", "3000") as one, replaying("--resume", "--rate", "3000") as other:
        codes = {running.wait(60): running.log for running in (one, other)}

    # Whoever finds the other in the middle of a batch says so and leaves it to that one.
    assert 0 in codes, codes
    assert set(codes) <= {0, 1}, codes
    assert 1 not in codes or "Somebody else goes on with replay" in codes[1]
    assert all_once()
    done = Operation.objects.get()
    assert (done.state, done.touched, done.left_alone) == ("done", MANY, 0)


def test_from_two_terminals_at_once_each_is_replayed_once() -> None:
    failed(MANY)

    with replaying("--rate", "6000") as one, replaying("--rate", "6000") as other:
        codes = [running.wait(60) for running in (one, other)]

    assert sorted(codes) in ([0, 0], [0, 1]), (codes, one.log, other.log)
    assert all_once()
    assert sum(Operation.objects.values_list("touched", flat=True)) == MANY


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [10_000, 100_000])
def test_of_many_it_takes_seconds_and_no_more_memory(count: int) -> None:
    failed(count)
    began = monotonic()

    with replaying() as running:
        _, status, used = os.wait4(running.popen.pid, 0)
        took = monotonic() - began
        running.popen.returncode = os.waitstatus_to_exitcode(status)
        print(f"\n{count:,} replayed in {took:.1f} s, {count / took:,.0f} a second, {used.ru_maxrss / 1024:.0f} MiB")

    assert running.popen.returncode == 0
    assert replayed() == count
    assert used.ru_maxrss < 160 * 1024  # KiB; a process that has only been started has about 100 MiB


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_many_all_have_arrived_when_it_says_so() -> None:
    count = 100_000
    failed(count)
    with Sandbox() as sandbox:
        url = sandbox.environment()["SLACK_WEB_HOOK_URL"]
        with worker(threads=32, SLACK_WEBHOOKS=f"ops={url}"), replaying("--wait") as running:
            began = monotonic()
            assert running.wait(600) == 0, running.log
            took = monotonic() - began
            print(f"\n{count:,} replayed and sent in {took:.1f} s, {count / took:,.0f} a second\n{running.log}")
        # The mailbox keeps the newest only, and numbers all.
        assert max(message.number for message in sandbox.mailbox.messages("slack")) == count
    assert Attempt.objects.filter(outcome="accepted").count() == count
