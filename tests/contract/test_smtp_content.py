"""A whole mail at the wire, read by Python's own parser: what was given arrives, the same at every attempt."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest

from channels.contract import Content, File, Receipt, TransientError
from tests.contract.providers import Smtp, outcome, served
from tests.contract.stand_in import SmtpStandIn

PDF = File("invoice.pdf", "application/pdf", bytes(range(256)) * 20)
CSV = File("März.csv", "text/csv", b"a;b\r\n1;2\n\n.\nFrom me\r3;\xfc\xff")
WHOLE = Content(
    {
        "html": "<p>Grüße</p>\n.\n" + "<b>x</b>" * 2000,
        "reply_to": ["ann@example.com", "bob@example.com"],
        "headers": {
            "X-Order": "42",
            "List-Unsubscribe": f"<https://example.com/u?{'x' * 800}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    },
    [PDF, CSV],
)


@pytest.fixture
def relay() -> Iterator[SmtpStandIn]:
    with served(Smtp()) as stand_in:
        assert isinstance(stand_in, SmtpStandIn)
        yield stand_in


def sent(relay: SmtpStandIn, content: Content, **changes: Any) -> bytes:
    result = outcome(Smtp().backend(relay.port), Smtp().message._replace(content=content, **changes))
    assert isinstance(result, Receipt), result
    return relay.mails[-1]


def read(mail: bytes) -> EmailMessage:
    message = email.message_from_bytes(mail, policy=email.policy.default)
    assert not message.defects
    return message


def text_of(part: Any) -> str:
    text: str = part.get_content()
    return text.replace("\r\n", "\n").removesuffix("\n")


def test_text_and_html_are_alternatives_in_their_order(relay: SmtpStandIn) -> None:
    mail = read(sent(relay, Content({"html": WHOLE.fields["html"]}), body="Grüße"))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    plain, html = mail.iter_parts()
    assert (text_of(plain), text_of(html)) == ("Grüße", WHOLE.fields["html"])


def test_files_arrive_byte_for_byte_under_their_names(relay: SmtpStandIn) -> None:
    mail = read(sent(relay, WHOLE))
    assert mail.get_content_type() == "multipart/mixed"
    arrived = [
        File(str(part.get_filename()), part.get_content_type(), part.get_payload(decode=True))
        for part in mail.iter_attachments()
    ]
    assert arrived == [PDF, CSV]
    body = mail.get_body(("html",))
    assert body is not None
    assert text_of(body) == WHOLE.fields["html"]


@pytest.mark.parametrize("name", ["\U0001f600" * 150, "ü" * 31 + "x" * 119, 'a "b"; c=d.txt', "x" * 150])
def test_a_file_of_any_name_has_lines_of_limited_length(relay: SmtpStandIn, name: str) -> None:
    mail = sent(relay, Content({}, [File(name, "text/plain", b"x" * 5000)]))
    (part,) = read(mail).iter_attachments()
    assert part.get_filename() == name
    assert max(map(len, mail.split(b"\r\n"))) <= 998


def test_headers_and_addresses_for_answers_arrive_unbroken(relay: SmtpStandIn) -> None:
    octets = sent(relay, WHOLE)
    mail = read(octets)
    assert mail["Reply-To"] == "ann@example.com, bob@example.com"
    assert {name: str(mail[name]) for name in WHOLE.fields["headers"]} == WHOLE.fields["headers"]
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 998


def test_the_services_own_headers_stand_beside_the_given_ones(relay: SmtpStandIn) -> None:
    mail = read(sent(relay, WHOLE))
    assert mail["Message-ID"] == "<01890a5d-ac96-774b-bcce-b302099a8057@example.com>"
    assert mail["Date"].datetime == Smtp().message.created_at
    assert (mail["X-Correlation-ID"], mail["Auto-Submitted"]) == ("c0ffee-1", "auto-generated")
    assert len(mail.get_all("Message-ID")) == len(mail.get_all("Date")) == 1


def test_the_whole_mail_is_the_same_at_every_attempt(relay: SmtpStandIn) -> None:
    assert sent(relay, WHOLE) == sent(relay, WHOLE, attempt=2)


def test_no_part_can_end_another_early(relay: SmtpStandIn) -> None:
    boundary = f"--=_{Smtp().message.notification_id.hex}_0"
    mail = read(sent(relay, Content({"html": f"a\n{boundary}\n{boundary}--\nb"}), body=f"a\n{boundary}--\nb"))
    assert [text_of(part) for part in mail.iter_parts()] == [
        f"a\n{boundary}--\nb",
        f"a\n{boundary}\n{boundary}--\nb",
    ]


@pytest.mark.parametrize(
    ("stage", "isolated"), [("greeting", False), ("MAIL", False), ("RCPT", True), ("DATA", False), (".", False)]
)
def test_only_a_4yz_to_the_recipient_is_its_own_trouble(relay: SmtpStandIn, stage: str, isolated: bool) -> None:
    relay.replies[stage] = b"450 4.2.1 later\r\n"
    error = outcome(Smtp().backend(relay.port), Smtp().message)
    assert isinstance(error, TransientError)
    assert error.isolated is isolated


def test_a_relay_that_goes_at_the_recipient_is_in_trouble_itself(relay: SmtpStandIn) -> None:
    relay.replies["RCPT"] = b"421 4.3.2 shutting down\r\n"
    error = outcome(Smtp().backend(relay.port), Smtp().message)
    assert isinstance(error, TransientError)
    assert not error.isolated
