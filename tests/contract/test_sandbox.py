"""The sandbox at the wire: it must be a fair stand-in, and misbehave exactly as it is told to."""

from __future__ import annotations

import json
import smtplib
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests

from channels import mail_content
from channels.contract import Backend, Content, File, PermanentError, Receipt
from channels.email_backend import MESSAGE_LIMIT
from channels.sandbox.faults import Fault, Kind, Stage
from channels.sandbox.mailbox import KEPT_CHARACTERS, Mailbox
from channels.sandbox.server import Sandbox
from channels.slack import SlackWebhook
from channels.smtp import SmtpEmail
from channels.twilio_sms import TwilioSms
from tests.contract.providers import MESSAGE, kind, outcome
from tests.ports import free_port

SHORT = timedelta(seconds=0.5)
MESSAGES = {
    "slack": MESSAGE._replace(to="default"),
    "sms": MESSAGE._replace(to="+15005550010"),
    "email": MESSAGE._replace(to="ada@example.com", subject="Hello"),
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(params=list(MESSAGES))
def channel(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def backend(sandbox: Sandbox, channel: str, limit: timedelta = timedelta(seconds=10)) -> Backend:
    variables = sandbox.environment()
    options = {
        "slack": {"webhooks": {"default": variables["SLACK_WEB_HOOK_URL"]}},
        "sms": {
            "account_sid": variables["TWILIO_ACCOUNT_SID"],
            "auth_token": variables["TWILIO_AUTH_TOKEN"],
            "from_number": variables["TWILIO_FROM_NUMBER"],
            "base_url": variables["TWILIO_BASE_URL"],
        },
        "email": {
            "sender": variables["EMAIL_SENDER"],
            "host": variables["SMTP_HOST"],
            "port": int(variables["SMTP_PORT"]),
            "security": variables["SMTP_SECURITY"],
        },
    }
    kinds: dict[str, type[Backend]] = {"slack": SlackWebhook, "sms": TwilioSms, "email": SmtpEmail}
    return type("Limited", (kinds[channel],), {"send_timeout": limit}).from_options(options[channel])


def sent(sandbox: Sandbox, channel: str, limit: timedelta = timedelta(seconds=10)) -> str:
    return kind(outcome(backend(sandbox, channel, limit), MESSAGES[channel]))


def test_the_sandboxes_variables_make_a_channel_without_problems(sandbox: Sandbox, channel: str) -> None:
    made = backend(sandbox, channel)
    assert made.configured
    assert list(made.problems()) == []


def test_a_message_is_taken_and_kept(sandbox: Sandbox, channel: str) -> None:
    receipt = outcome(backend(sandbox, channel), MESSAGES[channel])
    assert isinstance(receipt, Receipt)
    (kept,) = sandbox.mailbox.messages()
    assert (kept.number, kept.channel, kept.body, kept.correlation_id) == (1, channel, MESSAGE.body, "c0ffee-1")
    assert kept.subject == MESSAGES[channel].subject


@pytest.mark.parametrize(
    ("fault", "expected", "taken"),
    [
        (Fault(kind=Kind.LATENCY, latency_ms=1), "sent", 1),
        (Fault(kind=Kind.LATENCY, latency_ms=60_000), "unknown", 1),
        (Fault(kind=Kind.DROP_AFTER), "unknown", 1),
        (Fault(kind=Kind.HANG), "unknown", 0),
        (Fault(kind=Kind.HANG, taken=True), "unknown", 1),
        (Fault(kind=Kind.DRIP, drip_ms=100), "unknown", 1),
    ],
    ids=lambda value: f"{value.kind}-{value.latency_ms}-{value.taken}" if isinstance(value, Fault) else str(value),
)
def test_a_fault_befalls_a_message(sandbox: Sandbox, channel: str, fault: Fault, expected: str, taken: int) -> None:
    sandbox.faults.set(channel, fault)
    assert sent(sandbox, channel, SHORT) == expected
    assert len(sandbox.mailbox.messages()) == taken


def test_a_connection_dropped_before_the_message_takes_nothing(sandbox: Sandbox, channel: str) -> None:
    sandbox.faults.set(channel, Fault(kind=Kind.DROP_BEFORE))
    # Only SMTP can tell: over HTTP the request is written before anybody can know that it is not read.
    assert sent(sandbox, channel) == ("not sent" if channel == "email" else "unknown")
    assert sandbox.mailbox.messages() == []


@pytest.mark.parametrize("channel", ["slack", "sms"], indirect=True)
def test_a_rate_limit_carries_its_patience(sandbox: Sandbox, channel: str) -> None:
    sandbox.faults.set(channel, Fault(kind=Kind.STATUS, status=429, retry_after="30"))
    error = outcome(backend(sandbox, channel), MESSAGES[channel])
    assert kind(error) == "rate limited"
    assert getattr(error, "retry_after", None) == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("stage", "status", "expected"),
    [
        (Stage.MAIL, 451, "not sent"),
        (Stage.RCPT, 550, "permanent"),
        (Stage.DATA, 452, "not sent"),
        (Stage.MESSAGE, 554, "permanent"),
    ],
)
def test_a_mail_is_refused_at_the_stage_asked_for(sandbox: Sandbox, stage: Stage, status: int, expected: str) -> None:
    sandbox.faults.set("email", Fault(kind=Kind.STATUS, stage=stage, status=status))
    assert sent(sandbox, "email") == expected
    assert sandbox.mailbox.messages() == []


@pytest.mark.parametrize("channel", ["slack", "sms"], indirect=True)
def test_a_status_that_lies_takes_the_message_all_the_same(sandbox: Sandbox, channel: str) -> None:
    sandbox.faults.set(channel, Fault(kind=Kind.STATUS, status=500, taken=True))
    assert sent(sandbox, channel) == "unknown"
    assert len(sandbox.mailbox.messages()) == 1


def test_a_fault_befalls_as_many_messages_as_it_says(sandbox: Sandbox, channel: str) -> None:
    sandbox.faults.set(channel, Fault(kind=Kind.DROP_AFTER, times=2))
    assert [sent(sandbox, channel) for _ in range(4)] == ["unknown", "unknown", "sent", "sent"]
    assert sandbox.faults.shown()[channel][0]["befell"] == 2


def test_a_fault_befalls_only_the_recipient_it_names(sandbox: Sandbox) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER, to="+15005550099"))
    assert sent(sandbox, "sms") == "sent"


def test_a_fault_with_a_probability_befalls_some(sandbox: Sandbox) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.STATUS, status=500, probability=0.5))
    made = backend(sandbox, "slack")
    assert {kind(outcome(made, MESSAGES["slack"])) for _ in range(60)} == {"sent", "unknown"}


def test_a_channels_fault_leaves_the_others_alone(sandbox: Sandbox) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.HANG))
    assert (sent(sandbox, "sms"), sent(sandbox, "email")) == ("sent", "sent")


@pytest.mark.parametrize(
    ("status", "word"), [(403, "invalid_token"), (410, "channel_is_archived"), (404, "no_service"), (400, "no_text")]
)
def test_slack_answers_each_documented_error_by_a_token_of_its_name(sandbox: Sandbox, status: int, word: str) -> None:
    answer = requests.post(f"{sandbox.url}/services/T0/B0/{word}", json={"text": "hello"}, timeout=5)
    assert (answer.status_code, answer.text) == (status, word)


@pytest.mark.parametrize(
    ("body", "word"),
    [("{", "invalid_payload"), ("[]", "invalid_payload"), ("{}", "no_text"), ('{"text": ""}', "no_text")],
)
def test_slack_refuses_what_it_cannot_show(sandbox: Sandbox, body: str, word: str) -> None:
    answer = requests.post(sandbox.environment()["SLACK_WEB_HOOK_URL"], data=body, timeout=5)
    assert (answer.status_code, answer.text) == (400, word)


@pytest.mark.parametrize(
    ("to", "expected", "code"),
    [
        ("+15005550001", "permanent", "21211"),
        ("+15005550002", "permanent", "21612"),
        ("+15005550003", "configuration", "21408"),
        ("+15005550004", "permanent", "21610"),
        ("+15005550009", "permanent", "21614"),
        ("12", "permanent", "21211"),
        ("", "permanent", "21604"),
    ],
)
def test_twilio_refuses_the_numbers_that_its_test_credentials_refuse(
    sandbox: Sandbox, to: str, expected: str, code: str
) -> None:
    error = outcome(backend(sandbox, "sms"), MESSAGES["sms"]._replace(to=to))
    assert (kind(error), getattr(error, "code", "")) == (expected, code)


@pytest.mark.parametrize(("user", "token"), [(None, "wrong"), (None, ""), ("AC" + "9" * 32, "token")])
def test_twilio_refuses_a_wrong_token_and_anothers_account(sandbox: Sandbox, user: str | None, token: str) -> None:
    account = sandbox.environment()["TWILIO_ACCOUNT_SID"]
    url = f"{sandbox.url}/2010-04-01/Accounts/{account}/Messages.json"
    answer = requests.post(url, data={"To": "+15005550010"}, auth=(user or account, token), timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)


def test_a_mail_is_shown_with_all_that_it_has(sandbox: Sandbox) -> None:
    fields = {"html": "<p>Grüße</p>", "reply_to": ["bob@example.com"], "headers": {"X-Order": "42"}}
    files = [File("März.pdf", "application/pdf", b"x" * 5), File("a.csv", "text/csv", b"a;b")]
    message = MESSAGES["email"]._replace(content=Content(fields, files))
    assert kind(outcome(backend(sandbox, "email"), message)) == "sent"

    (mail,) = sandbox.mailbox.messages()
    assert mail.body == message.body
    assert mail.extra["html"].strip() == fields["html"]
    assert mail.extra["attachments"] == "März.pdf (application/pdf, 5 bytes), a.csv (text/csv, 3 bytes)"
    assert (mail.extra["reply-to"], mail.extra["x-order"]) == ("bob@example.com", "42")


def test_the_largest_mail_is_taken(sandbox: Sandbox) -> None:
    file = File("a", "application/pdf", b"x" * mail_content.FILES_SIZE_LIMIT)
    content = Content({"html": "ü" * (mail_content.HTML_LIMIT // 2)}, [file])
    message = MESSAGES["email"]._replace(content=content, body="ü" * (MESSAGE_LIMIT // 2))
    assert kind(outcome(backend(sandbox, "email"), message)) == "sent"


def test_a_slack_message_is_shown_with_all_that_it_has(sandbox: Sandbox) -> None:
    fields = {"blocks": [{"type": "divider"}], "attachments": [{"text": "größe"}]}
    message = MESSAGES["slack"]._replace(content=Content(fields))
    assert kind(outcome(backend(sandbox, "slack"), message)) == "sent"

    (shown,) = sandbox.mailbox.messages()
    assert {name: json.loads(value) for name, value in shown.extra.items()} == fields


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"blocks": {}}, "invalid_blocks"),
        ({"attachments": [{"text": "x"}] * 101}, "too_many_attachments"),
    ],
)
def test_slack_takes_only_so_many_blocks_and_attachments(sandbox: Sandbox, fields: dict[str, Any], word: str) -> None:
    error = outcome(backend(sandbox, "slack"), MESSAGES["slack"]._replace(content=Content(fields)))
    assert isinstance(error, PermanentError)
    assert error.code == word
    assert sandbox.mailbox.messages() == []


def test_smtp_refuses_a_wrong_password_and_takes_any_other(sandbox: Sandbox) -> None:
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5) as relay:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            relay.login("shop", "wrong")
        assert refusal.value.smtp_code == 535
        assert relay.login("shop", "right")[0] == 235


def test_smtp_answers_with_the_code_that_the_address_asks_for(sandbox: Sandbox) -> None:
    message = MESSAGES["email"]._replace(to="reply-450@example.com")
    assert kind(outcome(backend(sandbox, "email"), message)) == "not sent"


def test_many_connections_are_served_at_once(sandbox: Sandbox) -> None:
    address = ("127.0.0.1", sandbox.http_port)
    socks = [socket.create_connection(address, timeout=10) for _ in range(200)]
    body = b'{"text": "hello"}'
    head = f"POST /services/T/B/x HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for sock in socks:
        sock.sendall(head + body)
    answers = [sock.recv(1000) for sock in socks]
    for sock in socks:
        sock.close()
    assert {answer[:15] for answer in answers} == {b"HTTP/1.1 200 OK"}
    assert len(sandbox.mailbox.messages()) == 200


def test_a_sandbox_ends_at_once_whoever_is_connected() -> None:
    with Sandbox() as sandbox:
        sandbox.faults.set("slack", Fault(kind=Kind.HANG))
        idle = [
            socket.create_connection(("127.0.0.1", port), timeout=10)
            for port in (sandbox.http_port, sandbox.http_port, sandbox.smtp_port)
        ]
        idle[0].sendall(b"POST /services/T/B/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        began = monotonic()
    assert monotonic() - began < 5
    for sock in idle:
        sock.close()


def test_a_port_in_use_is_an_error_at_once() -> None:
    with Sandbox() as first, pytest.raises(OSError, match="address already in use"):  # noqa: SIM117
        with Sandbox(http_port=first.http_port):
            pass


def test_the_journal_holds_every_message_before_it_is_answered(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with Sandbox(journal=journal) as sandbox:
        for channel in MESSAGES:
            assert sent(sandbox, channel) == "sent"
            last = json.loads(journal.read_text().splitlines()[-1])
            assert (last["channel"], last["body"]) == (channel, MESSAGE.body)


def test_the_oldest_messages_make_room_for_new_ones() -> None:
    mailbox = Mailbox()
    for _ in range(5):
        mailbox.take("slack", "x", "x" * (KEPT_CHARACTERS // 4))
    assert [message.number for message in mailbox.messages()] == [5, 4, 3, 2]
    assert mailbox.taken == 5


def test_waiting_for_messages_ends_with_the_time_given() -> None:
    with pytest.raises(TimeoutError):
        Mailbox().wait(1, seconds=0.1)


def test_ports_are_told_once_they_are_real() -> None:
    port = free_port()
    with Sandbox(http_port=port) as sandbox:
        assert sandbox.http_port == port
        assert sandbox.smtp_port != 0
        assert sandbox.url == f"http://127.0.0.1:{port}"
