"""An operator takes notifications from a worker whose provider says nothing; what that worker learns comes late."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications.models import Attempt, Event, Notification
from notifications.timeline import timeline
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = Fault(kind=Kind.LATENCY, latency_ms=6_000, times=1)  # it takes it at once, and says so when nobody waits for it


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("ada"))
    return browser


def status(id_: UUID) -> str:
    return Notification.objects.get(pk=id_).status


def is_being_sent(id_: UUID) -> bool:
    return Notification.objects.filter(pk=id_, status="sending", started_at__isnull=False).exists()


def attempts(id_: UUID) -> list[tuple[int, str, str, bool]]:
    columns = ("number", "outcome", "late_outcome", "possible_duplicate")
    return list(Attempt.objects.filter(notification_id=id_).order_by("number").values_list(*columns))


def release(browser: Browser, id_: UUID) -> None:
    """By the button on its page, which asks first."""
    there = f"/admin/notifications/notification/{id_}"
    assert f'action="{there}/release/"' in browser.get(f"{there}/change/").content.decode()
    browser.post(f"{there}/release/", {"confirmed": "yes"})


def told(id_: UUID) -> list[tuple[str, str]]:
    return [(entry.event, entry.by) for entry in timeline(Notification.objects.get(pk=id_)) if entry.by == "ada"]


def test_it_goes_by_another_send_and_the_late_answer_changes_nothing(
    post: Post, sandbox: Sandbox, providers: dict[str, str], browser: Browser
) -> None:
    sandbox.faults.set("slack", SLOW)
    id_ = post("hello")
    with processes.worker(**providers), processes.worker(**providers):
        eventually(lambda: is_being_sent(id_), what="a worker that waits for the provider")
        release(browser, id_)
        eventually(lambda: status(id_) == "sent", what="sent by the other")
        assert attempts(id_) == [(1, "lost", "", False), (2, "accepted", "", True)]

        eventually(lambda: attempts(id_)[0][2] == "accepted", what="what the first worker learned at last")

    assert status(id_) == "sent"
    assert [message.body for message in sandbox.mailbox.messages("slack")] == ["hello", "hello"], "marked as such"
    assert Notification.objects.get(pk=id_).possible_duplicate
    assert told(id_) == [("released", "ada")]
    assert not Event.objects.filter(kind="lost").exists(), "no worker was lost"


def test_what_is_held_when_in_doubt_is_unknown_until_the_late_answer_settles_it(
    post: Post, sandbox: Sandbox, providers: dict[str, str], browser: Browser
) -> None:
    sandbox.faults.set("sms", SLOW)
    id_ = post("hello", channel="sms", to="+14155550123")
    with processes.worker(SMS_ON_UNKNOWN="hold", **providers):
        eventually(lambda: is_being_sent(id_), what="a worker that waits for the provider")
        release(browser, id_)
        assert status(id_) == "unknown"

        eventually(lambda: status(id_) == "sent", what="what the worker learned at last")

    assert attempts(id_) == [(1, "lost", "accepted", False)]
    assert [message.body for message in sandbox.mailbox.messages("sms")] == ["hello"]
    assert told(id_) == [("released", "ada")]


def test_one_that_was_not_begun_goes_at_once(
    post: Post, sandbox: Sandbox, providers: dict[str, str], browser: Browser
) -> None:
    sandbox.faults.set("sms", SLOW)
    ids = [post(f"hello {number}", channel="sms", to="+14155550123") for number in range(40)]
    with processes.worker(threads=5, **providers):
        eventually(lambda: any(map(is_being_sent, ids)), what="a worker that waits for the provider")
        held = Notification.objects.filter(status="sending", started_at=None).values_list("id", flat=True)
        eventually(held.exists, what="others that wait in its hands")
        free = held.first()
        assert free is not None
        release(browser, free)
        eventually(lambda: all(status(id_) == "sent" for id_ in ids), seconds=40, what="all sent")

    bodies = [message.body for message in sandbox.mailbox.messages("sms")]
    assert len(bodies) == len(set(bodies)) == 40
