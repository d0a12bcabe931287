"""What must hold whichever broker carries the nudges."""

from __future__ import annotations

from time import monotonic

import pytest

from channels.sandbox.server import Sandbox
from notifications.models import Attempt, Notification, Worker
from tests import processes
from tests.eventually import eventually
from tests.ports import free_port

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)


def all_sent() -> bool:
    return not Notification.objects.exclude(status="sent").exists()


def test_a_committed_notification_is_delivered_once(
    post: Post, sandbox: Sandbox, providers: dict[str, str], nudges: str
) -> None:
    with processes.worker(**providers, BROKER_URL=nudges):
        post("hello")
        eventually(all_sent, what="sent")

    assert [m.body for m in sandbox.mailbox.messages()] == ["hello"]
    assert [(a.number, a.outcome) for a in Attempt.objects.all()] == [(1, "accepted")]


def test_what_was_posted_while_no_worker_ran_is_delivered(
    post: Post, sandbox: Sandbox, providers: dict[str, str], nudges: str
) -> None:
    texts = {f"message {n}" for n in range(1000)}
    for text in sorted(texts):
        post(text)

    with processes.worker(**providers, BROKER_URL=nudges):
        eventually(all_sent, seconds=60, what="1,000 sent")

    bodies = [m.body for m in sandbox.mailbox.messages()]
    assert (len(bodies), set(bodies)) == (1000, texts)


def test_a_nudge_wakes_an_idle_worker_sooner_than_its_poll(
    post: Post, sandbox: Sandbox, providers: dict[str, str], nudges: str
) -> None:
    if nudges.startswith("redis"):
        pytest.skip("Dramatiq polls Redis with a backoff of up to a second: no sooner than the relay's poll")
    waits = []
    with processes.worker(**providers, BROKER_URL=nudges):
        for n in range(5):
            began = monotonic()
            post(f"message {n}")
            sandbox.mailbox.wait(n + 1, seconds=10)
            waits.append(monotonic() - began)
            eventually(all_sent)

    # The poll alone would take half a second on average, and never be this quick five times in a row.
    assert sorted(waits)[2] < 0.25, waits


def test_sigterm_ends_an_idle_worker_and_its_lease(
    providers: dict[str, str], nudges: str, transactional_db: None
) -> None:
    with processes.worker(**providers, BROKER_URL=nudges) as worker:
        worker.terminate()

        assert worker.wait(20) == 0
        assert not Worker.objects.exists()


@pytest.mark.parametrize(
    "away", ["redis://127.0.0.1:{port}", "amqp://guest:guest@127.0.0.1:{port}", "amqp://nowhere.invalid"]
)
def test_with_the_broker_away_all_is_delivered_within_the_polls(
    post: Post, sandbox: Sandbox, providers: dict[str, str], away: str
) -> None:
    with processes.worker(**providers, BROKER_URL=away.format(port=free_port())) as worker:
        for n in range(3):
            post(f"message {n}")
            began = monotonic()
            eventually(all_sent, seconds=10, what="sent without a broker")
            assert monotonic() - began < 3
        assert "Traceback" not in worker.log

    assert len(sandbox.mailbox.messages()) == 3


def test_a_worker_serves_the_channels_it_is_given_and_no_others(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    post("to slack")
    post("by phone", channel="sms", to="+14155552671")
    with processes.worker("--queues", "sms", **providers):
        eventually(lambda: Notification.objects.get(channel="sms").status == "sent", what="sms sent")
        post("by phone again", channel="sms", to="+14155552671")
        eventually(lambda: Notification.objects.filter(channel="sms", status="sent").count() == 2, what="sms sent")

    assert Notification.objects.get(channel="slack").status == "pending"
