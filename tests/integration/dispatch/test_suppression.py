"""From a provider's word that nothing should be sent to a recipient again, to nothing being sent there."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from pytest_django import Settings

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import credentials, services
from notifications.models import Attempt, Client, LaneState, Notification, Suppression
from notifications.outbox import suppress
from notifications.outbox.suppress import Suppressed
from notifications.states import Reason
from tests import processes
from tests.eventually import eventually
from tests.factories import ApiKeyFactory
from tests.integration.api.callers import Caller

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

OPTED_OUT = "+15005550004"  # to the sandbox, as to Twilio's own test credentials: 21610


def settled(count: int) -> bool:
    return Notification.objects.filter(finished_at__isnull=False).count() == count


def ended() -> list[tuple[str, str]]:
    return list(Notification.objects.order_by("id").values_list("status", "error_code"))


def test_who_has_opted_out_is_suppressed_until_an_operator_lets_it_through(
    client_row: Client, providers: dict[str, str], sandbox: Sandbox
) -> None:
    text = credentials.new_key().text
    ApiKeyFactory(client=client_row, text=text)
    caller, body = Caller(client_row, text), {"message": "hello", "send_to_number": OPTED_OUT}
    first = caller.post("/api/v1/sms", body, key="first")
    assert first.status_code == 202

    with processes.worker(**providers):
        eventually(lambda: settled(1), what="it was refused")

        row = Suppression.objects.get()
        assert (row.address, row.reason, row.source, row.created_by) == (
            *(f"sms:{OPTED_OUT}", "opt_out", "21610", "twilio_sms"),
        )
        assert str(row.notification_id) == json.loads(first.content)["id"]
        assert OPTED_OUT not in row.detail
        eventually(lambda: suppress.any_in({"sms"}), what="this process has looked at the list again")
        refused = caller.post("/api/v1/sms", body, key="second")
        assert (refused.status_code, json.loads(refused.content)["code"]) == (409, "suppressed")
        assert caller.post("/api/v1/sms", body, key="first").content == first.content
        assert json.loads(caller.post(f"{first.headers['Location']}/resend", {}).content)["code"] == "suppressed"

        call_command("suppress", "--remove", "--channel", "sms", "--recipient", OPTED_OUT, stdout=io.StringIO())
        assert caller.post("/api/v1/sms", body, key="second").status_code == 202
        eventually(lambda: settled(2), what="it was refused again")

    assert ended() == [("failed", "21610")] * 2
    assert Suppression.objects.count() == 1
    assert sandbox.mailbox.messages() == []


def test_a_mailbox_that_does_not_exist_is_suppressed_as_a_bounce(
    post: Post, providers: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.faults.set("email", Fault(kind=Kind.STATUS, status=550, body="5.1.1 no such user", times=1))
    post("hello", channel="email", to="nobody@example.com", subject="Hi")

    with processes.worker(**providers):
        eventually(lambda: settled(1), what="it bounced")

    row = Suppression.objects.get()
    assert (row.address, row.reason, row.source) == ("email:nobody@example.com", "hard_bounce", "550 5.1.1")


def test_what_refuses_the_message_alone_suppresses_nobody(
    post: Post, providers: dict[str, str], sandbox: Sandbox
) -> None:
    post("hello", channel="sms", to="+15005550009")  # 21614: no mobile number, but perhaps once it was mistyped

    with processes.worker(**providers):
        eventually(lambda: settled(1), what="it was refused")

    assert ended() == [("failed", "21614")]
    assert not Suppression.objects.exists()


def test_what_waits_for_a_suppressed_recipient_is_stopped_when_it_is_claimed(
    post: Post, providers: dict[str, str], sandbox: Sandbox
) -> None:
    to = {"channel": "sms", "to": "+14155552671"}
    post("first", **to)
    post("second", channel="sms", to="+14155552672")
    services.suppress("sms", "+14155552671", actor="ada", reason=Reason.HARD_BOUNCE)

    with processes.worker(**providers):
        eventually(lambda: settled(2), what="both are settled")

    assert ended() == [("failed", "suppressed"), ("sent", "")]
    assert [message.body for message in sandbox.mailbox.messages()] == ["second"]
    stopped = Attempt.objects.get(notification__body="first")
    assert (stopped.outcome, stopped.code) == ("released", "suppressed")
    assert stopped.detail == "the recipient is on the suppression list (hard_bounce)"
    assert not LaneState.objects.exists()


def test_in_a_lane_of_quick_sends_it_is_stopped_as_well(
    post: Post, providers: dict[str, str], sandbox: Sandbox
) -> None:
    for number in range(30):
        post(f"message {number}")
    post("by mail", channel="email", to="ann@example.com", subject="Hi")
    suppress.add(
        [Suppressed(channel="email", recipient="ann@example.com", test=False, reason=Reason.MANUAL, created_by="ada")]
    )
    services.suppress("slack", "default", actor="ada")

    with processes.worker(**providers):
        eventually(lambda: settled(31), what="all are settled")

    assert set(ended()) == {("failed", "suppressed")}
    assert sandbox.mailbox.messages() == []


def test_what_the_sandbox_refuses_to_a_test_stops_nothing_live(
    client_row: Client, providers: dict[str, str], sandbox: Sandbox, settings: Settings
) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "sandbox": {**known["sms"]}}}
    request = services.NotificationRequest(channel="sms", to=OPTED_OUT, message="hello")
    services.accept(client_row, request, key="test", test=True)

    with processes.worker(**providers, SANDBOX_URL=sandbox.url):
        eventually(lambda: settled(1), what="the sandbox refused it")

    assert Suppression.objects.get().address == f"~test:sms:{OPTED_OUT}"
    services.accept(client_row, request, key="live")
    eventually(lambda: suppress.any_in({"~test:sms"}), what="this process has looked at the list again")
    with pytest.raises(services.Refused):
        services.accept(client_row, request, key="another test", test=True)
