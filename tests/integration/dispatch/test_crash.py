"""A worker that dies, and one that is asked to go."""

from __future__ import annotations

import os
import signal
from collections import Counter
from time import monotonic

import pytest

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications.models import Attempt, Notification, Worker
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)


def all_sent() -> bool:
    return not Notification.objects.exclude(status="sent").exists()


def in_hand() -> int:
    return Notification.objects.filter(status="sending", started_at=None).count()


def test_a_killed_workers_claims_are_taken_back_within_five_seconds_and_all_are_delivered(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=200))
    ids = [post(f"message {n}") for n in range(200)]
    with processes.worker(threads=24, **providers), processes.worker(threads=24, **providers):
        sandbox.mailbox.wait(20, seconds=30)
        victim = Worker.objects.get(pk=Notification.objects.filter(status="sending").first().worker_id)
        held = set(Notification.objects.filter(worker_id=victim.pk).values_list("id", flat=True))
        os.kill(victim.pid, signal.SIGKILL)
        killed = monotonic()

        eventually(lambda: not Notification.objects.filter(worker_id=victim.pk).exists(), seconds=10)
        took = monotonic() - killed
        eventually(all_sent, seconds=60, what="all sent")

    assert held
    print(f"claims of the killed worker taken back after {took:.2f} s")
    assert took <= 5.0, f"{took:.2f} s"
    received = Counter(message.body for message in sandbox.mailbox.messages())
    assert set(received) == {f"message {n}" for n in range(200)}
    marked = set(Attempt.objects.filter(possible_duplicate=True).values_list("notification__body", flat=True))
    assert {body for body, times in received.items() if times > 1} <= marked
    assert Notification.objects.count() == len(ids)


def test_sigterm_in_the_middle_of_a_batch_doubles_nothing_and_releases_the_rest(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=500))
    for n in range(100):
        post(f"message {n}")
    with processes.worker(**providers) as worker:
        sandbox.mailbox.wait(2, seconds=30)
        # The first batches are of any size: of one there would be no middle.
        eventually(lambda: in_hand() >= 5, seconds=30, what="some were claimed, and their sends have not begun")
        worker.terminate()
        assert worker.wait(30) == 0
        assert "worker.retired" in worker.log
    assert not Notification.objects.filter(status="sending").exists()
    assert Notification.objects.filter(status="pending").exists()
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted", "released"}

    sandbox.faults.clear()
    with processes.worker(**providers):
        eventually(all_sent, seconds=30, what="all sent")

    received = Counter(message.body for message in sandbox.mailbox.messages())
    assert set(received.values()) == {1}
    assert len(received) == 100
    assert not Attempt.objects.filter(possible_duplicate=True).exists()


def test_a_stopped_worker_that_comes_back_sends_nothing_of_what_was_taken_from_it(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=500))
    for n in range(60):
        post(f"message {n}")
    with processes.worker(**providers) as paused:
        sandbox.mailbox.wait(1, seconds=30)
        sleeper = Worker.objects.get()
        os.kill(sleeper.pid, signal.SIGSTOP)
        assert Notification.objects.filter(worker_id=sleeper.pk).exists(), "it sleeps with claims in its hands"
        sandbox.faults.clear()
        try:
            with processes.worker(**providers):
                eventually(all_sent, seconds=30, what="all sent by the other")
                os.kill(sleeper.pid, signal.SIGCONT)
                eventually(lambda: "lease.lost" in paused.log, what="the sleeper notices")
                eventually(lambda: Worker.objects.count() == 2, what="a new lease")
                eventually(lambda: "record.late" in paused.log, what="its late result")
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)

    received = Counter(message.body for message in sandbox.mailbox.messages())
    assert sum(received.values()) <= 61, "only the send it was in may be double"
    doubled = {body for body, times in received.items() if times > 1}
    marked = set(Attempt.objects.filter(possible_duplicate=True).values_list("notification__body", flat=True))
    assert doubled <= marked
