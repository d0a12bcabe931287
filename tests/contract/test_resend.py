"""Resend's own rows: every error that it documents, and the key that makes a second send none."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from channels.contract import ChannelError, Content, File, Message, PermanentError, RateLimited, Receipt, TransientError
from channels.resend import Resend as Backend
from tests.contract.providers import Resend, kind, outcome, served
from tests.contract.stand_in import HttpStandIn, http_answer

MESSAGE = Resend().message


@pytest.fixture
def resend() -> Iterator[HttpStandIn]:
    with served(Resend()) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        yield stand_in


def error(status: int, name: str, words: str = "no", **headers: str) -> bytes:
    return http_answer(status, json.dumps({"statusCode": status, "name": name, "message": words}).encode(), **headers)


def answered(resend: HttpStandIn, answer: bytes, message: Message = MESSAGE) -> Receipt | ChannelError:
    resend.answer = answer
    return outcome(Resend().backend(resend.port), message)


def posted(resend: HttpStandIn, message: Message) -> Any:
    outcome(Resend().backend(resend.port), message)
    return json.loads(resend.requests[-1].body)


# https://resend.com/docs/api-reference/errors
@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (400, "invalid_idempotency_key", "permanent"),
        (400, "validation_error", "permanent"),
        (401, "missing_api_key", "configuration"),
        (401, "restricted_api_key", "configuration"),
        (401, "validation_error", "configuration"),
        (403, "invalid_api_key", "configuration"),
        (403, "suspended_api_key", "configuration"),
        (403, "validation_error", "configuration"),
        (404, "not_found", "configuration"),
        (405, "method_not_allowed", "configuration"),
        (409, "invalid_idempotent_request", "unknown"),
        (409, "concurrent_idempotent_requests", "not sent"),
        (422, "invalid_attachment", "permanent"),
        (422, "invalid_from_address", "configuration"),
        (422, "invalid_access", "configuration"),
        (422, "invalid_parameter", "permanent"),
        (422, "invalid_region", "configuration"),
        (422, "missing_required_field", "permanent"),
        (422, "validation_error", "permanent"),
        (429, "daily_quota_exceeded", "rate limited"),
        (429, "monthly_quota_exceeded", "configuration"),
        (429, "rate_limit_exceeded", "rate limited"),
        (451, "security_error", "permanent"),
        (500, "application_error", "unknown"),
        (500, "internal_server_error", "unknown"),
    ],
)
def test_a_documented_error_has_its_kind_and_keeps_its_name(
    resend: HttpStandIn, status: int, name: str, expected: str
) -> None:
    found = answered(resend, error(status, name))
    assert isinstance(found, ChannelError)
    assert (kind(found), found.code.split()[-1]) == (expected, name)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"{}", "unknown"),
        (200, b"<html>Please log in</html>", "unknown"),
        (201, b'{"id": "49a3999c"}', "unknown"),
        (301, b"", "configuration"),
        (401, b"who are you", "configuration"),
        (402, b"", "configuration"),
        (407, b"", "configuration"),
        (408, b"", "not sent"),
        (409, b"{}", "permanent"),
        (413, b"too large", "permanent"),
        (418, b'["a teapot"]', "permanent"),
        (429, b"slow down", "rate limited"),
        (500, b'{"name": "validation_error"}', "unknown"),
        (502, b"bad gateway", "unknown"),
        (503, b"[" * 50_000, "unknown"),
    ],
)
def test_what_resend_does_not_document_gets_a_careful_kind(
    resend: HttpStandIn, status: int, body: bytes, expected: str
) -> None:
    assert kind(answered(resend, http_answer(status, body))) == expected


def test_a_malformed_key_is_told_from_a_malformed_field_by_its_words(resend: HttpStandIn) -> None:
    assert kind(answered(resend, error(400, "validation_error", "API key is invalid"))) == "configuration"


def test_a_rate_limit_waits_as_long_as_it_says(resend: HttpStandIn) -> None:
    found = answered(resend, error(429, "rate_limit_exceeded", Retry_After="7"))
    assert isinstance(found, RateLimited)
    assert found.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(("name", "least"), [("rate_limit_exceeded", 1), ("daily_quota_exceeded", 3600)])
def test_a_limit_without_a_time_has_a_patience_of_its_own(resend: HttpStandIn, name: str, least: int) -> None:
    found = answered(resend, error(429, name))
    assert isinstance(found, RateLimited)
    assert found.retry_after == timedelta(seconds=least)


def test_an_attempt_still_in_flight_is_the_messages_own_trouble(resend: HttpStandIn) -> None:
    found = answered(resend, error(409, "concurrent_idempotent_requests"))
    assert isinstance(found, TransientError)
    assert found.isolated
    assert found.retry_after == timedelta(seconds=5)


def test_the_key_and_the_request_are_the_same_at_every_attempt(resend: HttpStandIn) -> None:
    content = Content(
        {"html": "<p>Hi</p>", "reply_to": ["help@example.com"], "headers": {"X-B": "2", "X-A": "1"}},
        [File("a.txt", "text/plain", b"hello")],
    )
    another_order = Content(
        {"headers": {"X-A": "1", "X-B": "2"}, "reply_to": ["help@example.com"], "html": "<p>Hi</p>"}, content.files
    )
    for attempt, given in enumerate((content, another_order), start=1):
        outcome(Resend().backend(resend.port), MESSAGE._replace(attempt=attempt, content=given))

    first, second = resend.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == str(MESSAGE.notification_id)
    assert first.body == second.body


def test_a_second_send_is_safe_for_less_than_the_day_that_resend_keeps_a_key() -> None:
    assert Backend.deduplicates_for is not None
    assert timedelta(hours=20) < Backend.deduplicates_for < timedelta(hours=24) - Backend.send_timeout


def test_a_plain_mail_is_posted_with_the_key_and_the_sender(resend: HttpStandIn) -> None:
    assert posted(resend, MESSAGE._replace(body="größe <3 \U0001f600")) == {
        "from": "Shop <shop@example.com>",
        "to": ["ada@example.com"],
        "subject": "A subject",
        "text": "größe <3 \U0001f600",
        "headers": {"Auto-Submitted": "auto-generated", "X-Correlation-ID": "c0ffee-1"},
    }
    (request,) = resend.requests
    assert request.path == "/emails"
    assert request.headers["authorization"].startswith("Bearer ")


def test_html_replies_headers_and_files_go_with_the_mail(resend: HttpStandIn) -> None:
    fields = {
        "html": "<p>Hi</p>",
        "reply_to": ["help@example.com", "us@example.com"],
        "headers": {"List-Unsubscribe": "<https://example.com/u>"},
    }
    files = [File("bill.pdf", "application/pdf", b"\x00\xff")]

    mail = posted(resend, MESSAGE._replace(content=Content(fields, files)))

    assert (mail["html"], mail["reply_to"]) == ("<p>Hi</p>", ["help@example.com", "us@example.com"])
    assert mail["headers"]["List-Unsubscribe"] == "<https://example.com/u>"
    (file,) = mail["attachments"]
    assert (file["filename"], file["content_type"]) == ("bill.pdf", "application/pdf")
    assert base64.b64decode(file["content"]) == b"\x00\xff"


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE._replace(to="ada@example.com, eve@example.com"),
        MESSAGE._replace(subject="A\r\nBcc: eve@example.com"),
        MESSAGE._replace(body="\ud800"),
        MESSAGE._replace(content=Content({"headers": {"X-A": "1\r\nBcc: eve@example.com"}})),
    ],
)
def test_what_cannot_stand_in_a_mail_is_not_posted(resend: HttpStandIn, message: Message) -> None:
    assert isinstance(answered(resend, Resend.accepts, message), PermanentError)
    assert resend.requests == []


def test_the_services_own_headers_stay_its_own(resend: HttpStandIn) -> None:
    mail = posted(resend, MESSAGE._replace(content=Content({"headers": {"X-Correlation-ID": "another"}})))
    assert mail["headers"]["X-Correlation-ID"] == "c0ffee-1"


def test_the_recipient_is_in_no_error(resend: HttpStandIn) -> None:
    found = answered(resend, error(422, "invalid_parameter", "ada@example.com is on a list"))
    assert isinstance(found, ChannelError)
    assert "ada@example.com" not in found.detail


def test_resends_own_id_is_kept(resend: HttpStandIn) -> None:
    receipt = answered(resend, Resend.accepts)
    assert isinstance(receipt, Receipt)
    assert receipt.provider_id == "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"
