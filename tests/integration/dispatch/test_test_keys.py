"""Test keys, from the request to the sandbox: real web server, real worker, and providers that count who connects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from django.contrib.auth.models import User
from django.test import Client as Browser

from channels.sandbox import ACCOUNT_SID, FROM_NUMBER
from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Attempt, Client, LaneState, Notification
from notifications.outbox import books
from tests import processes
from tests.contract.stand_in import HttpStandIn, SmtpStandIn, http_answer
from tests.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SLACK = {"channel": "slack", "to": "ops", "message": "to slack"}
SMS = {"channel": "sms", "to": "+14155552671", "message": "by phone"}
EMAIL = {"channel": "email", "to": "ann@example.com", "subject": "A subject", "message": "by mail"}
EACH = (SLACK, SMS, EMAIL)
AT_SANDBOX = {
    ("slack", "ops", "to slack"),
    ("sms", "+14155552671", "by phone"),
    ("email", "ann@example.com", "by mail"),
}


@dataclass
class Live:
    """Providers that say yes to everything."""

    slack: HttpStandIn = field(default_factory=HttpStandIn)
    twilio: HttpStandIn = field(default_factory=HttpStandIn)
    relay: SmtpStandIn = field(default_factory=SmtpStandIn)

    def __post_init__(self) -> None:
        created = json.dumps({"sid": f"SM{'0' * 32}", "status": "queued"}).encode()
        self.twilio.answer = http_answer(201, created)

    @property
    def connections(self) -> list[int]:
        return [each.connections for each in (self.slack, self.twilio, self.relay)]

    def environment(self) -> dict[str, str]:
        return {
            "SLACK_WEBHOOKS": f"ops=http://127.0.0.1:{self.slack.port}/services/T1/B1/live,"
            f"dev=http://127.0.0.1:{self.slack.port}/services/T1/B1/dev",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": "live",
            "TWILIO_FROM_NUMBER": FROM_NUMBER,
            "TWILIO_BASE_URL": f"http://127.0.0.1:{self.twilio.port}",
            "EMAIL_SENDER": "shop@example.com",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.relay.port),
            "SMTP_SECURITY": "none",
        }


@pytest.fixture
def live() -> Iterator[Live]:
    live = Live()
    with live.slack, live.twilio, live.relay:
        yield live


@pytest.fixture
def reached(sandbox: Sandbox) -> dict[str, str]:
    """What web and worker must be told so that test keys reach the sandbox."""
    return {"SANDBOX_URL": sandbox.url, "SANDBOX_SMTP_PORT": str(sandbox.smtp_port)}


class Keyholder:
    """Posts to a web server with a key of its own."""

    def __init__(self, url: str, client: Client, *, test: bool) -> None:
        self._url = url
        self._key = services.create_api_key(client, test=test).text

    def post(self, body: dict[str, Any], *, path: str = "notifications", key: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": key or str(uuid4())}
        answer = requests.post(f"{self._url}/api/v1/{path}", json=body, headers=headers, timeout=10)
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted


@contextmanager
def service(**environment: str) -> Iterator[str]:
    """A web server and a worker; the server's address."""
    with ExitStack() as stack:
        _, url = stack.enter_context(processes.web(**environment))
        stack.enter_context(processes.worker(**environment))
        yield url


def all_are(status: str, count: int) -> bool:
    return list(Notification.objects.values_list("status", flat=True)) == [status] * count


def taken(sandbox: Sandbox) -> set[tuple[str, str, str]]:
    return {(message.channel, message.to, message.body.strip()) for message in sandbox.mailbox.messages()}


def test_what_a_test_key_asks_for_arrives_in_the_sandbox_and_at_no_provider(
    client_row: Client, live: Live, sandbox: Sandbox, reached: dict[str, str]
) -> None:
    with service(**live.environment(), **reached) as url:
        tester = Keyholder(url, client_row, test=True)
        for body in EACH:
            assert tester.post(body)["test"] is True
        tester.post({"notifications": [{**body, "message": "in a batch"} for body in EACH]}, path="notifications/batch")
        eventually(lambda: all_are("sent", 6), seconds=20, what="all sent")

        batch = {(channel, to, "in a batch") for channel, to, _ in AT_SANDBOX}
        assert taken(sandbox) == AT_SANDBOX | batch
        assert live.connections == [0, 0, 0]

        other = Keyholder(url, client_row, test=False)  # else a provider that nothing can reach would do, too
        for body in EACH:
            assert "test" not in other.post(body)
        eventually(lambda: all_are("sent", 9), seconds=20, what="the live ones are sent, too")

    assert live.connections == [1, 1, 1]
    assert len(sandbox.mailbox.messages()) == 6
    lanes = set(Notification.objects.values_list("lane", flat=True))
    assert lanes == {"slack:ops", "~test:slack:ops", "sms", "~test:sms", "email", "~test:email"}


def test_a_channel_without_a_provider_can_be_tested(
    client_row: Client, sandbox: Sandbox, reached: dict[str, str]
) -> None:
    with service(**reached) as url:
        tester = Keyholder(url, client_row, test=True)
        tester.post({"message": "hello"}, path="slack")
        tester.post({"message": "hello", "send_to_number": "+14155552671"}, path="sms")
        tester.post({"message": "hello", "send_to": "ann@example.com", "subject": "s"}, path="mail")
        eventually(lambda: all_are("sent", 3), seconds=20, what="all sent")

    assert {channel for channel, _, _ in taken(sandbox)} == {"slack", "sms", "email"}


def test_a_worker_that_knows_no_sandbox_pauses_the_test_lanes_and_sends_nothing_anywhere(
    client_row: Client, live: Live, sandbox: Sandbox, reached: dict[str, str]
) -> None:
    with processes.web(**live.environment(), **reached) as (_, url):
        tester, other = (Keyholder(url, client_row, test=test) for test in (True, False))
        for body in EACH:
            tester.post(body)

        with processes.worker(**live.environment()) as worker:
            eventually(lambda: LaneState.objects.count() == 3, what="the test lanes are paused")
            other.post(SLACK)
            eventually(lambda: Notification.objects.filter(status="sent").count() == 1, what="the live one is sent")
            assert "sandbox_not_configured" in worker.log
            assert set(LaneState.objects.values_list("lane", flat=True)) == {
                *("~test:slack:ops", "~test:sms", "~test:email")
            }
            assert Notification.objects.filter(lane__startswith="~test:", status="pending", attempt=0).count() == 3

        assert live.connections == [1, 0, 0]
        assert (sandbox.mailbox.messages(), books.audit().violations) == ([], [])

        LaneState.objects.all().delete()  # an operator has mended it, and resumes them
        with processes.worker(**live.environment(), **reached):
            eventually(lambda: all_are("sent", 4), seconds=20, what="nothing was lost")

    assert live.connections == [1, 0, 0]
    assert taken(sandbox) == AT_SANDBOX


def test_a_flood_of_tests_on_a_hanging_sandbox_keeps_no_live_message_waiting(
    client_row: Client, live: Live, sandbox: Sandbox, reached: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.HANG))
    sandbox.faults.set("sms", Fault(kind=Kind.HANG))
    with (
        processes.web(**live.environment(), **reached) as (_, url),
        processes.worker(threads=3, **live.environment(), **reached),
    ):
        tester, other = (Keyholder(url, client_row, test=test) for test in (True, False))
        for body in (SLACK, SMS):
            tester.post({"notifications": [body] * 500}, path="notifications/batch")
        eventually(lambda: Notification.objects.filter(status="sending").exists(), what="tests are being sent")

        for body in EACH:
            other.post(body)
        unsent = Notification.objects.exclude(lane__startswith="~test:").exclude(status="sent")
        eventually(lambda: not unsent.exists(), seconds=5, what="the live ones are sent")


def test_what_the_admin_resends_of_a_test_goes_to_the_sandbox_again(
    client_row: Client, live: Live, sandbox: Sandbox, reached: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.STATUS, status=400, body="invalid_payload", times=1))
    browser = Browser()
    browser.force_login(User.objects.create_superuser("ada", password="a long enough password"))

    with service(**live.environment(), **reached) as url:
        id_ = UUID(Keyholder(url, client_row, test=True).post(SLACK)["id"])
        eventually(lambda: all_are("failed", 1), what="refused, as the sandbox was told to")
        browser.post(f"/admin/notifications/notification/{id_}/resend/")
        eventually(lambda: all_are("sent", 1), what="sent again")

    assert list(Attempt.objects.order_by("number").values_list("outcome", flat=True)) == ["permanent", "accepted"]
    assert taken(sandbox) == {("slack", "ops", "to slack")}
    assert live.connections == [0, 0, 0]


def test_a_test_of_a_dead_worker_is_taken_back_and_stays_in_the_sandbox(
    client_row: Client, live: Live, sandbox: Sandbox, reached: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.HANG, times=1))
    with processes.web(**live.environment(), **reached) as (_, url):
        with processes.worker(**live.environment(), **reached) as killed:
            Keyholder(url, client_row, test=True).post(SLACK)
            eventually(lambda: Notification.objects.filter(started_at__isnull=False).exists(), what="being sent")
            killed.end()
        with processes.worker(**live.environment(), **reached):
            eventually(lambda: all_are("sent", 1), seconds=30, what="sent by another")

    assert Notification.objects.get().possible_duplicate
    assert taken(sandbox) == {("slack", "ops", "to slack")}
    assert (live.connections, books.audit().violations) == ([0, 0, 0], [])
