"""Django's email backends: Django's own over SMTP, anymail's test backend, and a provider's of anymail over HTTP."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from time import monotonic
from typing import Any

import pytest
import requests
from anymail.backends.test import EmailBackend as AnymailTestBackend
from anymail.exceptions import (
    AnymailAPIError,
    AnymailConfigurationError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailSerializationError,
    AnymailUnsupportedFeature,
)
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend

from channels.contract import (
    ChannelError,
    ConfigurationError,
    Content,
    File,
    PermanentError,
    RateLimited,
    Receipt,
    Refused,
    TransientError,
)
from channels.django_email import DjangoEmail
from tests.contract.providers import SECRETS, DjangoSmtp, Postmark, kind, outcome, served
from tests.contract.stand_in import HttpStandIn, Instead, SmtpStandIn, http_answer

MESSAGE = Postmark().message
MESSAGE_ID = f"<{MESSAGE.notification_id}@example.com>"
WHOLE = Content(
    {"html": "<p>Hi</p>", "reply_to": ["help@example.com"], "headers": {"List-Unsubscribe": "<https://example.com/u>"}},
    [File("bill.pdf", "application/pdf", b"\x00\xff"), File("März.csv", "text/csv", "a;b\r\nü\n\r".encode())],
)


def made(backend: type[BaseEmailBackend] | str, **options: Any) -> DjangoEmail:
    path = backend if isinstance(backend, str) else f"{backend.__module__}.{backend.__name__}"
    given = {"email_backend": path, "email_options": options, "sender": "Shop <shop@example.com>"}
    return DjangoEmail.from_options(given)


class Raises(BaseEmailBackend):
    """A backend of somebody's own: raises what it is told to."""

    error: BaseException

    def send_messages(self, email_messages: Any) -> int:
        raise self.error


class Counts(BaseEmailBackend):
    """Another: says that it has sent so many."""

    count: int | None

    def send_messages(self, email_messages: Any) -> int:
        return self.count  # type: ignore[return-value]  # as careless ones do


def raised(error: BaseException) -> Receipt | ChannelError:
    Raises.error = error
    return outcome(made(Raises), MESSAGE)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AnymailRecipientsRefused(), "permanent"),
        (AnymailInvalidAddress("no"), "permanent"),
        (AnymailSerializationError("no"), "permanent"),
        (AnymailUnsupportedFeature("no"), "permanent"),
        (AnymailConfigurationError("no"), "configuration"),
        (AnymailAPIError("no"), "unknown"),
        (ConnectionRefusedError(111, "refused"), "not sent"),
        (requests.ConnectTimeout(), "not sent"),
        (ConnectionResetError(104, "reset"), "unknown"),
        (TimeoutError(), "unknown"),
        (KeyError("s3cr3tTok3n"), "unknown"),
    ],
)
def test_what_a_backend_raises_has_its_kind(error: Exception, expected: str) -> None:
    found = raised(error)
    assert isinstance(found, ChannelError)
    assert kind(found) == expected
    assert "s3cr3tTok3n" not in str(found)


def test_a_recipient_whom_the_provider_refuses_is_refused_for_all_messages() -> None:
    found = raised(AnymailRecipientsRefused())
    assert isinstance(found, PermanentError)
    assert (found.refuses, found.code) == (Refused.RECIPIENT, "AnymailRecipientsRefused")


@pytest.mark.parametrize("count", [0, None, 2])
def test_a_backend_that_counts_nothing_as_sent_leaves_the_fate_unknown(count: int | None) -> None:
    Counts.count = count
    found = outcome(made(Counts), MESSAGE)
    assert isinstance(found, TransientError)
    assert (found.outcome_unknown, found.code) == (True, "not_counted")


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("nowhere.EmailBackend", {}),
        ("django.core.mail.backends.smtp.EmailBackend", {"use_tls": True, "use_ssl": True}),
        ("anymail.backends.postmark.EmailBackend", {}),
        ("anymail.backends.postmark.EmailBackend", {"server_token": "s3cr3tTok3n", "api_url": 1}),
    ],
)
def test_a_backend_that_cannot_be_made_pauses_the_lane(path: str, options: dict[str, Any]) -> None:
    backend = made(path, **options)
    found = outcome(backend, MESSAGE)
    assert isinstance(found, ConfigurationError)
    assert "s3cr3tTok3n" not in str(found)
    assert [problem.variable for problem in backend.problems()] == ["email_backend"]


# --- anymail's test backend --------------------------------------------------------------------------------


def test_the_mail_goes_to_anymail_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "outbox", [], raising=False)

    receipt = outcome(made(AnymailTestBackend), MESSAGE._replace(content=WHOLE))

    (sent,) = mail.outbox
    told: dict[str, Any] = sent.anymail_test_params
    assert isinstance(receipt, Receipt)
    assert receipt.provider_id == "0"  # what that backend calls the first
    assert ([str(each) for each in told["to"]], told["subject"]) == (["ada@example.com"], "A subject")
    assert (told["text_body"], told["html_body"]) == (MESSAGE.body, "<p>Hi</p>")
    assert [str(each) for each in told["reply_to"]] == ["help@example.com"]
    assert told["extra_headers"]["Message-ID"] == MESSAGE_ID
    assert told["extra_headers"]["X-Correlation-ID"] == "c0ffee-1"
    assert told["extra_headers"]["List-Unsubscribe"] == "<https://example.com/u>"
    assert "Date" not in told["extra_headers"]
    arrived = [File(file.name, file.mimetype, base64.b64decode(file.b64content)) for file in told["attachments"]]
    assert arrived == WHOLE.files


def test_a_text_that_is_not_utf_8_goes_to_anymail_as_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "outbox", [], raising=False)
    latin = File("a.csv", "text/csv", b"gr\xfc\xdfe")

    outcome(made(AnymailTestBackend), MESSAGE._replace(content=Content(files=[latin])))

    (file,) = mail.outbox[0].anymail_test_params["attachments"]
    assert (file.name, file.mimetype, file.content) == ("a.csv", "application/octet-stream", latin.octets)


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "1\r\nBcc: eve@example.com"}, {"X-A\n": "1"}, {"Bcc": "eve@example.com"}, {"X-Correlation-ID": "another"}],
)
def test_nothing_stored_adds_a_header(headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "outbox", [], raising=False)
    found = outcome(made(AnymailTestBackend), MESSAGE._replace(content=Content({"headers": headers})))
    assert isinstance(found, PermanentError)
    assert mail.outbox == []


# --- a provider's backend of anymail -----------------------------------------------------------------------


@pytest.fixture
def postmark() -> Iterator[HttpStandIn]:
    with served(Postmark()) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        yield stand_in


def answered(postmark: HttpStandIn, status: int, body: object = None, **headers: str) -> Receipt | ChannelError:
    postmark.answer = http_answer(status, json.dumps(body if body is not None else {}).encode(), **headers)
    return outcome(Postmark().backend(postmark.port), MESSAGE)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, "permanent"), (401, "configuration"), (403, "configuration"), (404, "configuration"), (408, "not sent"),
     (413, "permanent"), (429, "rate limited"), (500, "unknown"), (503, "unknown"), (302, "configuration")],
)  # fmt: skip
def test_a_providers_status_has_its_kind(postmark: HttpStandIn, status: int, expected: str) -> None:
    assert kind(answered(postmark, status)) == expected


def test_a_providers_limit_waits_as_long_as_it_says(postmark: HttpStandIn) -> None:
    found = answered(postmark, 429, Retry_After="7")
    assert isinstance(found, RateLimited)
    assert found.retry_after == timedelta(seconds=7)


def test_an_inactive_recipient_is_refused(postmark: HttpStandIn) -> None:
    words = "You tried to send to a recipient that has been marked as inactive.\nFound inactive addresses: "
    found = answered(postmark, 422, {"ErrorCode": 406, "Message": f"{words}ada@example.com. Inactive recipients are"})
    assert isinstance(found, PermanentError)
    assert found.refuses is Refused.RECIPIENT
    assert "ada@example.com" not in str(found)


def test_the_whole_mail_is_posted_the_same_at_every_attempt(postmark: HttpStandIn) -> None:
    for attempt in (1, 2):
        outcome(Postmark().backend(postmark.port), MESSAGE._replace(attempt=attempt, content=WHOLE))

    first, second = (json.loads(request.body) for request in postmark.requests)
    assert first == second
    assert (first["TextBody"], first["HtmlBody"], first["ReplyTo"]) == (MESSAGE.body, "<p>Hi</p>", "help@example.com")
    assert {"Name": "List-Unsubscribe", "Value": "<https://example.com/u>"} in first["Headers"]
    arrived = [
        File(file["Name"], file["ContentType"].partition(";")[0], base64.b64decode(file["Content"]))
        for file in first["Attachments"]
    ]
    assert arrived == WHOLE.files


def test_a_yes_in_other_words_than_the_providers_is_unknown(postmark: HttpStandIn) -> None:
    assert kind(answered(postmark, 200, ["nonsense"])) == "unknown"


def test_the_providers_own_id_is_kept(postmark: HttpStandIn) -> None:
    receipt = outcome(Postmark().backend(postmark.port), MESSAGE)
    assert isinstance(receipt, Receipt)
    assert receipt.provider_id == "b7bc2f4a-e38e"
    told = json.loads(postmark.requests[0].body)
    assert {"Name": "Message-ID", "Value": MESSAGE_ID} in told["Headers"]


def test_what_is_left_behind_at_the_deadline_is_unknown(postmark: HttpStandIn) -> None:
    postmark.answer = Instead.HANG
    began = monotonic()
    found = outcome(Postmark().backend(postmark.port, limit=timedelta(seconds=0.3)), MESSAGE)
    assert monotonic() - began < 5
    assert isinstance(found, TransientError)
    assert (found.code, found.outcome_unknown) == ("timeout", True)


def test_a_providers_refusal_shows_no_secret(postmark: HttpStandIn, caplog: pytest.LogCaptureFixture) -> None:
    for logger in ("", "urllib3", "anymail"):
        caplog.set_level(logging.DEBUG, logger)
    echo = {"ErrorCode": 10, "Message": f"{SECRETS[0]} is no token, and {MESSAGE.body} is no message"}
    found = answered(postmark, 401, echo)
    assert [secret for secret in SECRETS if secret in f"{found}{caplog.text}"] == []


# --- Django's own ------------------------------------------------------------------------------------------


@pytest.fixture
def relay() -> Iterator[SmtpStandIn]:
    with served(DjangoSmtp()) as stand_in:
        assert isinstance(stand_in, SmtpStandIn)
        yield stand_in


def replied(relay: SmtpStandIn, stage: str, reply: bytes | Instead) -> Receipt | ChannelError:
    relay.replies[stage] = reply
    return outcome(DjangoSmtp().backend(relay.port), MESSAGE)


@pytest.mark.parametrize(
    ("stage", "reply", "expected"),
    [
        ("RCPT", b"450 4.2.1 later\r\n", "not sent"),
        ("RCPT", b"550 5.1.1 nobody\r\n", "permanent"),
        ("AUTH", b"535 5.7.8 no\r\n", "configuration"),
        ("EHLO", b"250 no login here\r\n", "configuration"),
        (".", b"451 4.3.0 later\r\n", "not sent"),
        (".", b"554 5.7.1 no\r\n", "permanent"),
        (".", b"what is SMTP\r\n", "unknown"),
        (".", Instead.HANG_UP, "unknown"),
        ("DATA", Instead.HANG_UP, "unknown"),  # how far it came is Django's secret
    ],
)
def test_a_relays_reply_is_read_as_by_the_smtp_backend(
    relay: SmtpStandIn, stage: str, reply: bytes | Instead, expected: str
) -> None:
    assert kind(replied(relay, stage, reply)) == expected


def test_no_such_mailbox_refuses_the_recipient(relay: SmtpStandIn) -> None:
    found = replied(relay, "RCPT", b"550 5.1.1 nobody\r\n")
    assert isinstance(found, PermanentError)
    assert found.refuses is Refused.RECIPIENT


def test_the_whole_mail_arrives_the_same_at_every_attempt(relay: SmtpStandIn) -> None:
    for attempt in (1, 2):
        outcome(DjangoSmtp().backend(relay.port), MESSAGE._replace(attempt=attempt, content=WHOLE))

    first, second = relay.mails
    assert first == second
    told = email.message_from_bytes(first, _class=EmailMessage, policy=email.policy.default)
    assert not told.defects
    assert (told["Message-ID"], told["Date"].datetime) == (MESSAGE_ID, MESSAGE.created_at)
    assert (told["Reply-To"], told["X-Correlation-ID"]) == ("help@example.com", "c0ffee-1")
    assert told["List-Unsubscribe"] == "<https://example.com/u>"
    texts = [told.get_body((kind,)).get_content().strip() for kind in ("plain", "html")]  # type: ignore[union-attr]
    assert texts == [MESSAGE.body, "<p>Hi</p>"]
    arrived = [
        File(str(part.get_filename()), part.get_content_type(), part.get_payload(decode=True))
        for part in told.iter_attachments()
    ]
    assert arrived == WHOLE.files
