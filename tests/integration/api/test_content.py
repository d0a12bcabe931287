"""What a notification has beyond its text, from the request to the row and back: taken whole, or refused by name."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from django.conf import settings as of_the_service
from pytest_django import Settings

from channels import mail_content
from notifications import services
from notifications.models import Attachment, AttachmentLink, IdempotencyRecord, Notification
from notifications.services import NotificationRequest

from .callers import Caller

MAIL = {"message": "hello", "send_to": "ann@example.com", "subject": "Hello"}
EMAIL = {"channel": "email", "to": "ann@example.com", "message": "hello", "subject": "Hello"}
OCTETS = b"%PDF\r\n\x00\xff"
DIGEST = hashlib.sha256(OCTETS).digest()
FILE = {"name": "a.pdf", "content": base64.b64encode(OCTETS).decode()}
SHOWN_FILE = {"name": "a.pdf", "content_type": "application/pdf", "size": len(OCTETS), "digest": DIGEST.hex()}
BLOCKS = {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "*Deployed* größe"}}]}
FIELDS = {"html": "<p>Grüße</p>", "reply_to": "bob@example.com", "headers": {"X-Order": "42"}}


def accepted(caller: Caller, path: str, body: dict[str, Any], **options: Any) -> Any:
    answer = caller.post(f"/api/v1/{path}", body, **options)
    assert answer.status_code == 202, answer.content
    return json.loads(answer.content)


def shown(caller: Caller, told: Any) -> Any:
    return json.loads(caller.get(told["links"]["self"]).content)["content"]


def faults(caller: Caller, path: str, body: dict[str, Any]) -> dict[str, str]:
    answer = caller.post(f"/api/v1/{path}", body)
    assert answer.status_code == 400, answer.content
    assert [kept.objects.count() for kept in (Notification, Attachment, IdempotencyRecord)] == [0, 0, 0]
    return {error["field"]: error["code"] for error in json.loads(answer.content)["errors"]}


def test_a_mail_has_its_content_at_the_top(caller: Caller) -> None:
    told = accepted(caller, "mail", {**MAIL, **FIELDS, "attachments": [FILE]})

    assert shown(caller, told) == {**FIELDS, "reply_to": ["bob@example.com"], "attachments": [SHOWN_FILE]}
    assert bytes(Attachment.objects.get().content) == OCTETS


def test_a_slack_message_has_its_content_at_the_top(caller: Caller) -> None:
    attachments = {"attachments": [{"color": "#ff0000", "text": "red"}]}
    told = accepted(caller, "slack", {"message": "fallback", **BLOCKS, **attachments})

    assert shown(caller, told) == {**BLOCKS, **attachments}
    assert not Attachment.objects.exists()


@pytest.mark.parametrize(("body", "content"), [(EMAIL, FIELDS), ({"channel": "slack", "message": "hi"}, BLOCKS)])
def test_any_notification_has_its_content_in_one_field(
    caller: Caller, body: dict[str, Any], content: dict[str, Any]
) -> None:
    told = accepted(caller, "notifications", {**body, "content": content})

    assert shown(caller, told).keys() == content.keys()


def test_without_any_there_is_none(caller: Caller) -> None:
    for path, body in (("mail", MAIL), ("notifications", EMAIL), ("notifications", {**EMAIL, "content": {}})):
        assert shown(caller, accepted(caller, path, body)) == {}
    assert not Notification.objects.exclude(content=None).exists()


def test_each_of_a_batch_has_its_own_and_a_file_is_stored_once(caller: Caller) -> None:
    other = {"name": "b.txt", "content": base64.b64encode(b"other").decode()}
    news = [
        {**EMAIL, "content": {"attachments": [FILE]}},
        {**EMAIL, "content": {"attachments": [other, {**FILE, "name": "again.pdf"}]}},
        EMAIL,
        {"channel": "slack", "message": "hi", "content": BLOCKS},
    ]
    told = accepted(caller, "notifications/batch", {"notifications": news})["notifications"]

    contents = [shown(caller, each) for each in told]
    assert [[file["name"] for file in content.get("attachments", [])] for content in contents] == [
        ["a.pdf"], ["b.txt", "again.pdf"], [], [],
    ]  # fmt: skip
    assert contents[3] == BLOCKS
    assert (Attachment.objects.count(), AttachmentLink.objects.count()) == (2, 3)


def test_the_same_file_twice_in_one_mail_is_linked_once(caller: Caller) -> None:
    told = accepted(caller, "mail", {**MAIL, "attachments": [FILE, {**FILE, "name": "b.pdf"}]})

    assert [file["name"] for file in shown(caller, told)["attachments"]] == ["a.pdf", "b.pdf"]
    assert (Attachment.objects.count(), AttachmentLink.objects.count()) == (1, 1)


def test_lists_do_not_show_it(caller: Caller) -> None:
    accepted(caller, "mail", {**MAIL, **FIELDS})
    (row,) = json.loads(caller.get("/api/v1/notifications").content)["results"]
    assert "content" not in row


@pytest.mark.parametrize(
    ("path", "body", "field", "code"),
    [
        ("mail", {**MAIL, "html": ""}, "html", "blank"),
        ("mail", {**MAIL, "html": None}, "html", "null"),
        ("mail", {**MAIL, "attachments": [FILE, {**FILE, "content": "!"}]}, "attachments[1].content", "invalid_base64"),
        ("mail", {**MAIL, "headers": {"Bcc": "eve@example.com"}}, "headers", "unknown_header"),
        ("mail", {**MAIL, "headers": {"X-A": "a\r\nBcc: eve@example.com"}}, "headers.X-A", "invalid_characters"),
        ("mail", {**MAIL, "content": {}}, "content", "unknown_field"),
        ("slack", {"message": "hi", "blocks": [{}]}, "blocks[0].type", "required"),
        ("slack", {"message": "hi", "html": "<p>"}, "html", "unknown_field"),
        ("slack", {"message": "", **BLOCKS}, "message", "blank"),
        ("notifications", {**EMAIL, "content": {"html": 1}}, "content.html", "invalid"),
        ("notifications", {**EMAIL, "content": {"blocks": []}}, "content.blocks", "unknown_field"),
        ("notifications", {**EMAIL, "content": []}, "content", "invalid"),
        ("notifications", {**EMAIL, "content": None}, "content", "null"),
        (
            "notifications",
            {"channel": "sms", "to": "+14155552671", "message": "hi", "content": {"html": "<p>"}},
            "content.html",
            "not_supported",
        ),
        (
            "notifications/batch",
            {"notifications": [EMAIL, {**EMAIL, "content": {"html": ""}}]},
            "notifications[1].content.html",
            "blank",
        ),
        (
            "notifications/batch",
            {"notifications": [{**EMAIL, "content": "x"}]},
            "notifications[0].content",
            "invalid",
        ),
    ],
)
def test_what_is_wrong_is_named_as_the_body_calls_it(
    caller: Caller, path: str, body: dict[str, Any], field: str, code: str
) -> None:
    assert faults(caller, path, body) == {field: code}


@pytest.mark.parametrize("path", ["mail", "notifications"])
def test_as_many_files_as_are_allowed_fit_into_a_body(caller: Caller, path: str) -> None:
    each = mail_content.FILES_SIZE_LIMIT // mail_content.FILES_LIMIT
    files = [
        {"name": f"{number}.bin", "content": base64.b64encode(bytes([number]) * each).decode()}
        for number in range(mail_content.FILES_LIMIT)
    ]
    whole = {"html": "ü" * (mail_content.HTML_LIMIT // 2), "attachments": files}
    body = {**MAIL, **whole} if path == "mail" else {**EMAIL, "content": whole}
    over = [*files[:-1], {**files[-1], "content": base64.b64encode(b"x" * (each + 1)).decode()}]
    too_much = {**body, "attachments": over} if path == "mail" else {**body, "content": {"attachments": over}}

    field = f"{'' if path == 'mail' else 'content.'}attachments[9].content"
    assert faults(caller, path, too_much) == {field: "too_large"}
    assert shown(caller, accepted(caller, path, body))["html"] == whole["html"]


def test_a_body_beyond_its_limit_is_refused_before_it_is_read(caller: Caller) -> None:
    limit = of_the_service.BODY_LIMITS["/api/v1/mail"]
    assert caller.post("/api/v1/mail", b" " * (limit + 1)).status_code == 413


def test_a_replay_stores_no_file(caller: Caller) -> None:
    body = {**MAIL, "attachments": [FILE]}
    first = accepted(caller, "mail", body, key="k")
    Attachment.objects.all().delete()
    AttachmentLink.objects.all().delete()

    assert accepted(caller, "mail", body, key="k") == first
    assert not Attachment.objects.exists()
    other = {**MAIL, "attachments": [{**FILE, "name": "b.pdf"}]}
    assert caller.post("/api/v1/mail", other, key="k").status_code == 422


def test_in_process_the_same_content_is_the_same_request(caller: Caller) -> None:
    def ask(content: dict[str, Any]) -> services.Accepted:
        return services.accept(caller.client, NotificationRequest(**EMAIL, content=content), key="k")

    first = ask(FIELDS)
    assert ask(dict(reversed(FIELDS.items()))).replayed
    for other in ({}, {"html": "<p>Other</p>"}):
        with pytest.raises(services.KeyReused):
            ask(other)
    assert Notification.objects.get().id == first.notification_id


@pytest.mark.parametrize("content", ["html", [1], 5, {"html": {1}}, {1: 2}, {"attachments": [{1: 2}]}])
def test_in_process_what_is_no_content_is_refused(caller: Caller, content: Any) -> None:
    with pytest.raises(services.Refused) as error:
        services.accept(caller.client, NotificationRequest(**EMAIL, content=content), key=None)
    assert error.value.problems[0].field.startswith("content")


def test_a_channel_that_takes_no_content_says_so(caller: Caller, settings: Settings) -> None:
    body = {"channel": "sms", "to": "+14155552671", "message": "hi", "content": {"blocks": []}}
    assert faults(caller, "notifications", body) == {"content.blocks": "not_supported"}
