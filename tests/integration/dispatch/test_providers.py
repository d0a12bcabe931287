"""What a provider's answer does to a notification, from the wire to the row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications.models import Attempt, LaneState, Notification
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SMS = {"channel": "sms", "to": "+14155552671"}
EMAIL = {"channel": "email", "to": "ann@example.com", "subject": "A subject"}


def status_is(wanted: str) -> bool:
    return not Notification.objects.exclude(status=wanted).exists()


def attempts() -> list[tuple[int, str, bool]]:
    return [(a.number, a.outcome, a.possible_duplicate) for a in Attempt.objects.order_by("number")]


def test_each_channel_delivers(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> None:
    post("to slack")
    post("by mail", **EMAIL)
    post("by phone", **SMS)

    with processes.worker(**providers):
        eventually(lambda: status_is("sent"), what="all three sent")

    assert {(m.channel, m.to, m.body.strip()) for m in sandbox.mailbox.messages()} == {
        ("slack", "sandbox", "to slack"),  # the end of the webhook's path is all that Slack is told
        ("email", "ann@example.com", "by mail"),
        ("sms", "+14155552671", "by phone"),
    }
    assert Notification.objects.get(channel="sms").provider_id.startswith("SM")


def test_a_passing_failure_is_tried_again(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.DROP_BEFORE, times=1))
    post("hello")

    with processes.worker(**providers):
        eventually(lambda: status_is("sent"), seconds=30, what="sent at the second try")

    assert len(sandbox.mailbox.messages()) == 1
    assert attempts()[-1][1] == "accepted"


def test_an_unanswered_send_is_sent_again_under_resend_and_marked(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.DROP_AFTER, times=1))
    post("hello")

    with processes.worker(**providers):
        eventually(lambda: status_is("sent"), seconds=30, what="sent again")

    assert [m.body for m in sandbox.mailbox.messages()] == ["hello", "hello"]
    assert attempts() == [(1, "in_doubt", False), (2, "accepted", True)]


def test_an_unanswered_sms_is_held_as_unknown(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER))
    post("hello", **SMS)

    with processes.worker(**providers):
        eventually(lambda: status_is("unknown"), what="unknown")

    assert len(sandbox.mailbox.messages()) == 1
    assert attempts() == [(1, "in_doubt", False)]


def test_a_rate_limit_pauses_the_lane_for_all_and_costs_no_try(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.STATUS, status=429, retry_after="3", times=1))
    for n in range(20):
        post(f"message {n}")

    with processes.worker(**providers), processes.worker(**providers):
        eventually(lambda: LaneState.objects.exists(), what="a pause")
        eventually(lambda: status_is("sent"), seconds=30, what="all sent after the pause")
        eventually(lambda: not LaneState.objects.exists(), what="a success reopened the lane")

    limited = Attempt.objects.get(outcome="rate_limited")
    first_after = Attempt.objects.filter(outcome="accepted", started_at__gt=limited.finished_at).earliest("started_at")
    assert first_after.started_at - limited.finished_at > timedelta(seconds=2.5)
    assert set(Notification.objects.values_list("tries", flat=True)) == {0}
    assert len(sandbox.mailbox.messages()) == 20


def test_a_refused_message_fails_with_the_providers_code(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.STATUS, status=400, body="invalid_payload"))
    post("hello")

    with processes.worker(**providers):
        eventually(lambda: status_is("failed"), what="failed")

    assert Notification.objects.get().error_code == "invalid_payload"
    assert attempts() == [(1, "permanent", False)]


def test_refused_credentials_pause_the_lane_and_fail_nothing(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    post("hello", **SMS)

    with processes.worker(**providers | {"TWILIO_AUTH_TOKEN": "wrong"}):
        eventually(lambda: LaneState.objects.filter(lane="sms").exists(), what="a pause")
        eventually(lambda: status_is("pending"), what="given back")

    assert "20003" in LaneState.objects.get().reason
    assert (Notification.objects.get().tries, attempts()) == (0, [(1, "released", False)])


def test_what_expires_on_the_way_is_never_sent(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> None:
    id_ = post("hello", expires_at=datetime.now(UTC) + timedelta(hours=1))
    Notification.objects.filter(pk=id_).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    with processes.worker(**providers):
        eventually(lambda: status_is("failed"), what="expired")

    assert (Notification.objects.get().error_code, sandbox.mailbox.messages()) == ("expired", [])


def test_what_is_due_later_is_sent_when_due(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> None:
    due = datetime.now(UTC) + timedelta(seconds=3)
    post("later", send_at=due)

    with processes.worker(**providers):
        eventually(lambda: status_is("sent"), seconds=15, what="sent when due")

    late = Attempt.objects.get().started_at - due
    assert timedelta(0) <= late < timedelta(seconds=1), late


def test_a_hanging_channel_leaves_threads_to_the_others(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.HANG))
    for n in range(200):
        post(f"message {n}")

    with processes.worker(threads=6, **providers):
        eventually(lambda: Notification.objects.filter(status="sending").exists(), what="slack is being sent")
        post("by phone", **SMS)
        eventually(lambda: Notification.objects.get(channel="sms").status == "sent", seconds=5, what="sms sent")
