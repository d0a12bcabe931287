"""What nobody knows the outcome of: sent again and marked, or held until something settles it. The operator chooses."""

from __future__ import annotations

import io
import json
import os
import signal
from uuid import UUID

import pytest
from django.core.management import call_command
from django.test import Client as Browser

from channels.contract import Progress
from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications.models import Attempt, Notification, Worker
from notifications.outbox.receipts import receive
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SMS = {"channel": "sms", "to": "+14155552671"}


def status() -> str:
    return Notification.objects.get().status


def attempts() -> list[tuple[int, str, str, bool]]:
    rows = Attempt.objects.order_by("number")
    return [(a.number, a.outcome, a.late_outcome, a.possible_duplicate) for a in rows]


@pytest.fixture
def held(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> UUID:
    """An SMS that was taken by a provider that did not say so."""
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER, times=1))
    id_ = post("hello", **SMS)
    with processes.worker(**providers):
        eventually(lambda: status() == "unknown", what="unknown")
    return id_


def test_a_channel_that_resends_by_default_holds_where_the_environment_says_so(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.DROP_AFTER, times=1))
    post("hello")

    with processes.worker(**providers, SLACK_ON_UNKNOWN="hold"):
        eventually(lambda: status() == "unknown", what="unknown")

    assert [m.body for m in sandbox.mailbox.messages()] == ["hello"]
    assert attempts() == [(1, "in_doubt", "", False)]


def test_a_channel_that_holds_by_default_resends_where_the_environment_says_so(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER, times=1))
    post("hello", **SMS)

    with processes.worker(**providers, SMS_ON_UNKNOWN="resend"):
        eventually(lambda: status() == "sent", seconds=30, what="sent again, or found")

    assert [m.body for m in sandbox.mailbox.messages()] == ["hello"], "Twilio has it: it was looked up"
    assert attempts() == [(1, "in_doubt", "", False), (2, "accepted", "", True)]


def statuses() -> list[str]:
    return list(Notification.objects.values_list("status", flat=True))


def test_a_worker_that_dies_in_a_send_leaves_that_one_held_and_the_others_to_be_sent(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.HANG, taken=True, times=1))
    for n in range(3):
        post(f"message {n}", **SMS)
    with processes.worker("--queues", "sms", threads=1, **providers):
        sandbox.mailbox.wait(1, seconds=30)
        os.kill(Worker.objects.get().pid, signal.SIGKILL)
        with processes.worker(**providers):
            # The dead one may have had the first alone in hand: the others are sent before it is buried then.
            eventually(lambda: sorted(statuses()) == ["sent", "sent", "unknown"], seconds=30, what="all are settled")

    assert Notification.objects.get(body="message 0").status == "unknown"
    assert sorted(m.body for m in sandbox.mailbox.messages()) == ["message 0", "message 1", "message 2"]
    assert not Attempt.objects.filter(possible_duplicate=True).exists()


def test_what_is_held_is_listed_for_the_operator(held: UUID, admin_client: Browser) -> None:
    page = admin_client.get("/admin/notifications/notification/", {"status": "unknown"}).content.decode()
    books, plan = io.StringIO(), io.StringIO()
    call_command("check_outbox", "--json", stdout=books)
    call_command("replay_outbox", "--status", "unknown", "--dry-run", stdout=plan)

    assert str(held) in page
    assert json.loads(books.getvalue())["counts"]["unknown"] == 1
    assert json.loads(books.getvalue())["balanced"] is True
    assert "1 may have been sent already (sms)" in plan.getvalue()


@pytest.mark.parametrize(
    ("progress", "settled"),
    [(Progress.TAKEN, "sent"), (Progress.DELIVERED, "delivered"), (Progress.UNDELIVERED, "failed")],
)
def test_a_receipt_settles_it(held: UUID, progress: Progress, settled: str) -> None:
    receive(held, attempt=1, provider_id="SM1", progress=progress, code="30003")

    assert status() == settled
    assert attempts()[0][:2] == (1, "in_doubt")


def test_a_replay_sends_it_again_and_marks_it(held: UUID, sandbox: Sandbox, providers: dict[str, str]) -> None:
    sandbox.mailbox.clear()  # it had never come so far
    call_command("replay_outbox", "--status", "unknown", "--yes", stdout=io.StringIO())
    with processes.worker(**providers):
        eventually(lambda: status() == "sent", what="sent again")

    assert [m.body for m in sandbox.mailbox.messages()] == ["hello"]
    assert attempts() == [(1, "in_doubt", "", False), (2, "accepted", "", True)]


def test_nothing_but_an_answer_or_a_person_moves_it(
    held: UUID, sandbox: Sandbox, post: Post, providers: dict[str, str]
) -> None:
    later = post("another", **SMS)
    with processes.worker(**providers):
        eventually(lambda: Notification.objects.get(pk=later).status == "sent", what="the next one sent")

    assert Notification.objects.get(pk=held).status == "unknown"
    assert [m.body for m in sandbox.mailbox.messages()] == ["another", "hello"]
