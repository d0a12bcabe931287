"""A worker's clock is ten minutes off: only the database's clock decides what is due, expired or dead."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications.models import Attempt, Notification, Worker
from tests.eventually import eventually
from tests.faults.site import Site

pytestmark = pytest.mark.django_db(transaction=True)

POSTS = 20
OFF = timedelta(minutes=10)
NEAR = timedelta(seconds=2)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("off", [OFF, pytest.param(-OFF, marks=pytest.mark.slow)], ids=["ahead", "behind"])
def test_a_worker_whose_clock_is_ten_minutes_off_sends_what_is_due_and_nothing_else(site: Site, off: timedelta) -> None:
    site.start_web()
    entry = "tests.faults.wrong_clock_worker"
    worker, _ = site.start_worker(entry=entry, NOTIFIER_TESTS_CLOCK=str(off.total_seconds()))
    site.start_worker("--queues", "email")  # its own clock is right: would it bury the other, or be buried?
    leases = set(Worker.objects.values_list("id", flat=True))
    began = now()
    site.provider.faults.set("slack", Fault(kind=Kind.STATUS, status=429, retry_after="2", times=1))

    site.post("for later", send_at=(began + OFF / 2).isoformat())
    site.post("sent before it expires", expires_at=(began + OFF / 2).isoformat())
    site.post(*(f"message {n}" for n in range(POSTS)))
    eventually(lambda: Notification.objects.filter(status="sent").count() == POSTS + 1, what="all that is due sent")

    said = next(json.loads(line) for line in worker.log.splitlines() if "lane.paused" in line)
    assert abs(datetime.fromisoformat(said["timestamp"]) - now() - off) < OFF / 10, "its clock was not off"
    assert Notification.objects.get(status="pending").body == "for later"
    assert set(Worker.objects.values_list("id", flat=True)) == leases
    for attempt in Attempt.objects.all():
        assert began - NEAR < attempt.started_at <= attempt.finished_at < now() + NEAR
    Notification.objects.filter(status="pending").update(due_at=began)
    site.settle()
    site.check_no_doubt()
