"""A worker is stopped (SIGSTOP) past its lease, another one takes its claims, and then it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications.models import Attempt, Notification, Worker
from tests.eventually import eventually
from tests.faults.site import Site
from tests.processes import Running

pytestmark = pytest.mark.django_db(transaction=True)

POSTS = 10
# The provider has taken the message and answers while nobody reads: long enough to be stopped meanwhile, and with the
# pause of five seconds still below the send's own deadline of ten.
LATENCY = 2500  # ms


@contextmanager
def stopped_in_a_send(site: Site, channel: str) -> Iterator[tuple[Running, set[UUID]]]:
    """A stopped worker and what it is sending, once another one has taken its claims; it goes on when this ends."""
    _, workers = site.start(workers=2)
    site.provider.faults.set(channel, Fault(kind=Kind.LATENCY, latency_ms=LATENCY))
    site.post(*(f"message {n}" for n in range(POSTS)), channel=channel)
    site.provider.mailbox.wait(1, seconds=30)
    first = Notification.objects.get(body=site.provider.mailbox.messages()[-1].body)
    sleeper, lease = next((running, lease) for running, lease in workers if lease.pk == first.worker_id)
    os.kill(lease.pid, signal.SIGSTOP)
    try:
        site.provider.faults.clear()
        claimed = Notification.objects.filter(status="sending", worker_id=lease.pk)
        sending = set(claimed.filter(started_at__isnull=False).values_list("id", flat=True))
        assert first.pk in sending
        eventually(lambda: not Worker.objects.filter(pk=lease.pk).exists(), what="the lease to be taken away")
        eventually(lambda: not claimed.exists(), what="its claims to be taken")
        site.settle()
        yield sleeper, sending
    finally:
        os.kill(lease.pid, signal.SIGCONT)


def await_notice(sleeper: Running, results: int) -> None:
    eventually(lambda: "lease.lost" in sleeper.log, what="the sleeper to notice")
    eventually(lambda: sleeper.log.count("lease.taken") == 2, what="its new lease")
    eventually(lambda: sleeper.log.count("record.late") >= results, what="its late results")


def states() -> dict[UUID, tuple[str, int, str]]:
    return {n.id: (n.status, n.attempt, n.error_code) for n in Notification.objects.all()}


def test_a_result_that_comes_after_another_worker_took_over_is_noted_and_changes_no_status(site: Site) -> None:
    with stopped_in_a_send(site, "slack") as (sleeper, sending):
        before = states()
    await_notice(sleeper, len(sending))

    assert states() == before
    late = Attempt.objects.filter(notification_id__in=sending, number=1)
    assert {(attempt.outcome, attempt.late_outcome) for attempt in late} == {("lost", "accepted")}
    assert set(site.check().doubled) <= sending


def test_a_success_that_comes_after_its_own_attempt_was_held_settles_it(site: Site) -> None:
    with stopped_in_a_send(site, "sms") as (_, sending):
        unknown = set(Notification.objects.filter(status="unknown").values_list("id", flat=True))
        assert unknown == sending
    eventually(lambda: not Notification.objects.filter(status="unknown").exists(), what="the late successes")

    assert {states()[id_] for id_ in sending} == {("sent", 1, "")}
    late = Attempt.objects.filter(notification_id__in=sending)
    assert {(attempt.outcome, attempt.late_outcome) for attempt in late} == {("lost", "accepted")}
    site.check_no_doubt()
