"""One id from the caller's request to the log of web and worker, the provider, the API and the admin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.test import Client as Browser

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Client, Notification
from tests import processes
from tests.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BODIES = {
    "slack": {"channel": "slack", "message": "Hello."},
    "email": {"channel": "email", "to": "ann@example.com", "subject": "Hello", "message": "Hello."},
    "sms": {"channel": "sms", "to": "+14155552671", "message": "Hello."},
}


def lines_with(log: str, correlation_id: str) -> Iterator[dict[str, Any]]:
    for line in log.splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("correlation_id") == correlation_id or correlation_id in told.get("correlation_ids", ()):
            yield told


def sends(log: str, correlation_id: str) -> list[str]:
    """The outcome of each send under this id: those that are quickly accepted share a line."""
    return [
        line["outcome"]
        for line in lines_with(log, correlation_id)
        if line["event"] in {"send.finished", "sends.finished"}
        for _ in range(line.get("correlation_ids", [correlation_id]).count(correlation_id))
    ]


@pytest.mark.parametrize(
    ("header", "value", "wanted"),
    [("X-Correlation-ID", "order:42", "order:42"), ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01", TRACE)],
)
def test_an_id_goes_with_a_message_all_the_way(
    sandbox: Sandbox, providers: dict[str, str], client_row: Client, header: str, value: str, wanted: str
) -> None:
    key = services.create_api_key(client_row).text
    sandbox.faults.set("slack", Fault(kind=Kind.DROP_AFTER, times=1))  # so that one has two attempts
    with processes.web(**providers) as (server, url), processes.worker(**providers) as worker:
        for channel, body in BODIES.items():
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": channel, header: value}
            answer = requests.post(f"{url}/api/v1/notifications", json=body, headers=headers, timeout=10)
            assert (answer.status_code, answer.headers["X-Correlation-ID"]) == (202, wanted)
        eventually(lambda: not Notification.objects.exclude(status="sent").exists(), seconds=30, what="all three sent")
        shown = requests.get(
            f"{url}/api/v1/notifications",
            params={"correlation_id": wanted},
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
        ).json()
        eventually(
            lambda: len(sends(worker.log, wanted)) == 4, what="the worker's lines: of a send in doubt, and three"
        )
        web_log, worker_log = server.log, worker.log

    assert {message.channel: message.correlation_id for message in sandbox.mailbox.messages()} == dict.fromkeys(
        BODIES, wanted
    )
    assert {row["channel"] for row in shown["results"]} == set(BODIES)
    assert [line["status"] for line in lines_with(web_log, wanted) if line["event"] == "answer"] == [202, 202, 202]
    assert sorted(sends(worker_log, wanted)) == ["accepted", "accepted", "accepted", "in_doubt"]


def test_the_admin_finds_a_notification_and_its_attempts_by_the_id(
    sandbox: Sandbox, providers: dict[str, str], client_row: Client, admin_client: Browser
) -> None:
    key = services.create_api_key(client_row).text
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k", "X-Correlation-ID": "order:43"}
    with processes.web(**providers) as (_, url), processes.worker(**providers):
        requests.post(f"{url}/api/v1/notifications", json=BODIES["sms"], headers=headers, timeout=10)
        eventually(lambda: Notification.objects.filter(status="sent").exists(), seconds=30, what="sent")

    row = Notification.objects.get()
    pages = "/admin/notifications/notification/"
    assert str(row.id) in admin_client.get(pages, {"q": "order:43"}).content.decode()
    page = admin_client.get(f"{pages}{row.id}/change/").content.decode()
    assert "order:43" in page
    assert "accepted" in page
