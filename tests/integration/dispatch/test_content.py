"""What a notification has beyond its text, from the accept to the provider, by a worker of its own."""

from __future__ import annotations

import base64
import json

import pytest

from channels.sandbox.faults import Fault, Kind, Stage
from channels.sandbox.server import Sandbox
from notifications.models import Attachment, Attempt, Notification
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

EMAIL = {"channel": "email", "to": "ann@example.com", "subject": "A subject"}
OCTETS = bytes(range(256)) * 5000
FILE = {"name": "Rechnung März.pdf", "content": base64.b64encode(OCTETS).decode()}


def all_are(status: str) -> bool:
    return not Notification.objects.exclude(status=status).exists()


def test_a_mail_arrives_with_its_html_and_its_file_at_the_second_try(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("email", Fault(kind=Kind.STATUS, status=451, stage=Stage.MESSAGE, times=1))
    content = {"html": "<p>Grüße</p>", "reply_to": "bob@example.com", "headers": {"X-Order": "42"}}
    post("by mail", content={**content, "attachments": [FILE]}, **EMAIL)

    with processes.worker(**providers):
        eventually(lambda: all_are("sent"), seconds=30, what="sent")

    assert [a.outcome for a in Attempt.objects.order_by("number")] == ["transient", "accepted"]
    (mail,) = sandbox.mailbox.messages("email")
    assert (mail.body, mail.extra["html"].strip()) == ("by mail", "<p>Grüße</p>")
    assert mail.extra["attachments"] == f"Rechnung März.pdf (application/pdf, {len(OCTETS)} bytes)"
    assert (mail.extra["reply-to"], mail.extra["x-order"]) == ("bob@example.com", "42")


def test_blocks_arrive_beside_the_text(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*hello* <&>"}}, {"type": "divider"}]
    post("fallback", content={"blocks": blocks})
    post("plain")

    with processes.worker(**providers):
        eventually(lambda: all_are("sent"), what="sent")

    found = {message.body: message.extra for message in sandbox.mailbox.messages("slack")}
    assert json.loads(found["fallback"]["blocks"]) == blocks
    assert found["plain"] == {}


def test_a_content_that_nobody_of_ours_wrote_stops_its_own_notification_alone(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    Notification.objects.filter(pk=post("odd")).update(content=[1])
    whole = post("whole")

    with processes.worker(**providers):
        eventually(lambda: Notification.objects.get(pk=whole).status == "sent", what="the whole one sent")

    assert [message.body for message in sandbox.mailbox.messages("slack")] == ["whole"]


def test_a_file_that_is_gone_stops_its_own_notification_alone(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    lost = post("lost", content={"attachments": [FILE]}, **EMAIL)
    Attachment.objects.all().delete()
    whole = post("whole", content={"attachments": [{**FILE, "content": "AAAA"}]}, **EMAIL)

    with processes.worker(**providers):
        eventually(lambda: Notification.objects.get(pk=whole).status == "sent", what="the whole one sent")
        eventually(lambda: Attempt.objects.filter(notification=lost).exists(), what="the other tried")

    assert Attempt.objects.filter(notification=lost).first().outcome == "unexpected"  # type: ignore[union-attr]
    assert [mail.body for mail in sandbox.mailbox.messages("email")] == ["whole"]
