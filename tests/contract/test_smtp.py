"""SMTP's own rows: every reply at every stage, drops on both sides of the final dot, and what a mail is."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage

import pytest

from channels.contract import ChannelError, PermanentError, Receipt, Refused, TransientError
from channels.smtp import SmtpEmail
from tests.contract.providers import Smtp, kind, outcome, served
from tests.contract.stand_in import Answer, Drip, Instead, SmtpStandIn

SHORT = timedelta(seconds=0.5)


@pytest.fixture(params=["one by one", "pipelining"])
def relay(request: pytest.FixtureRequest) -> Iterator[SmtpStandIn]:
    with served(Smtp()) as stand_in:
        assert isinstance(stand_in, SmtpStandIn)
        if request.param == "pipelining":
            stand_in.replies["EHLO"] = SmtpStandIn.YES["EHLO"].replace(b"8BITMIME", b"PIPELINING")
        yield stand_in


def answered(relay: SmtpStandIn, stage: str, reply: Answer, *, limit: timedelta = timedelta(seconds=10)) -> object:
    relay.replies[stage] = reply
    return outcome(Smtp().backend(relay.port, limit=limit), Smtp().message)


def mail_of(relay: SmtpStandIn, **changes: str) -> EmailMessage:
    result = outcome(Smtp().backend(relay.port), Smtp().message._replace(**changes))
    assert isinstance(result, Receipt), result
    return email.message_from_bytes(relay.mails[-1], policy=email.policy.default)


def text_of(mail: EmailMessage) -> str:
    text: str = mail.get_content()
    return text.replace("\r\n", "\n").removesuffix("\n")  # a mail always ends its last line


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("reply", [b"421 4.3.2 shutting down\r\n", b"450 4.2.1 later\r\n", b"452 full\r\n"])
def test_a_4yz_anywhere_is_transient_and_not_sent(relay: SmtpStandIn, stage: str, reply: bytes) -> None:
    relay.replies["HELO"] = reply  # what smtplib tries where EHLO is refused
    assert kind(answered(relay, stage, reply)) == "not sent"


# https://www.rfc-editor.org/rfc/rfc3463#section-3: x.2 is the mailbox, x.3 the mail system; 421 closes the connection.
@pytest.mark.parametrize(
    ("stage", "reply", "isolated"),
    [
        ("RCPT", b"450 4.2.1 busy\r\n", True),
        ("RCPT", b"451 4.7.1 greylisted, come back in five minutes\r\n", True),
        ("RCPT", b"452 4.2.2 mailbox full\r\n", True),
        ("RCPT", b"450 later\r\n", True),
        ("RCPT", b"451 4.3.0 cannot look that up\r\n", False),
        ("RCPT", b"421 4.3.2 shutting down\r\n", False),
        ("RCPT", b"421 too many connections\r\n", False),
        ("MAIL", b"450 4.2.1 later\r\n", False),
        ("DATA", b"451 later\r\n", False),
        (".", b"452 full\r\n", False),
    ],
)
def test_what_puts_one_recipient_off_says_nothing_of_the_relay(
    relay: SmtpStandIn, stage: str, reply: bytes, isolated: bool
) -> None:
    error = answered(relay, stage, reply)
    assert isinstance(error, TransientError)
    assert (error.outcome_unknown, error.isolated) == (False, isolated)


# https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3, https://www.rfc-editor.org/rfc/rfc3463
@pytest.mark.parametrize(
    ("reply", "refuses"),
    [
        (b"550 no such user\r\n", Refused.MESSAGE),
        (b"551 not here\r\n", Refused.MESSAGE),
        (b"553 not like that\r\n", Refused.MESSAGE),
        (b"550 5.1.1 no such user\r\n", Refused.RECIPIENT),
        (b"550 5.1.2 no such host\r\n", Refused.MESSAGE),
        (b"556 5.1.10 no mail here\r\n", Refused.RECIPIENT),
        (b"552 5.2.2 mailbox full\r\n", Refused.MESSAGE),
        (b"554 5.7.1 go away\r\n", Refused.MESSAGE),
        (b"550 5.7.26 unauthenticated\r\n", Refused.MESSAGE),
        (b"550-5.1.1 no such user\r\n550 5.1.1 really not\r\n", Refused.RECIPIENT),
    ],
)
def test_a_refused_recipient_is_permanent(relay: SmtpStandIn, reply: bytes, refuses: Refused) -> None:
    error = answered(relay, "RCPT", reply)
    assert isinstance(error, PermanentError)
    assert error.refuses is refuses


@pytest.mark.parametrize("reply", [b"552 too big\r\n", b"554 5.6.0 no\r\n", b"550 5.7.1 spam\r\n", b"500 what\r\n"])
@pytest.mark.parametrize("stage", ["DATA", "."])
def test_a_refused_mail_is_permanent(relay: SmtpStandIn, stage: str, reply: bytes) -> None:
    assert kind(answered(relay, stage, reply)) == "permanent"


@pytest.mark.parametrize("code", [b"530", b"534", b"535"])
@pytest.mark.parametrize("stage", ["AUTH", "MAIL", "RCPT", "DATA", "."])
def test_refused_credentials_are_a_matter_of_configuration(relay: SmtpStandIn, stage: str, code: bytes) -> None:
    assert kind(answered(relay, stage, code + b" 5.7.0 no\r\n")) == "configuration"


@pytest.mark.parametrize(
    ("stage", "reply"), [("greeting", b"554 blocked\r\n"), ("MAIL", b"550 5.7.1 not from you\r\n")]
)
def test_a_no_before_the_recipient_is_about_us(relay: SmtpStandIn, stage: str, reply: bytes) -> None:
    assert kind(answered(relay, stage, reply)) == "configuration"


def test_a_mail_too_large_for_the_relay_is_permanent(relay: SmtpStandIn) -> None:
    assert kind(answered(relay, "MAIL", b"552 5.3.4 too large\r\n")) == "permanent"


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("fault", [Instead.HANG_UP, Instead.HANG, Drip(b"250-" + b"x" * 200 + b"\r\n")])
def test_before_the_final_dot_nothing_is_sent(relay: SmtpStandIn, stage: str, fault: Answer) -> None:
    assert kind(answered(relay, stage, fault, limit=SHORT)) == "not sent"
    assert relay.mails == []


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize("reply", [b"nonsense\r\n", b"220 hello\r\n", b"x" * 20_000])
def test_nonsense_before_the_final_dot_means_not_sent(relay: SmtpStandIn, stage: str, reply: bytes) -> None:
    assert kind(answered(relay, stage, reply)) == "not sent"


@pytest.mark.parametrize("reply", [b"nonsense\r\n", b"251 elsewhere\r\n", b"354 more\r\n", b"\r\n", b"x" * 20_000])
def test_only_a_yes_or_a_no_settles_what_became_of_a_mail(relay: SmtpStandIn, reply: bytes) -> None:
    assert kind(answered(relay, ".", reply)) == "unknown"


def test_a_no_to_one_mail_leaves_no_half_mail_for_the_next(relay: SmtpStandIn) -> None:
    with Smtp().backend(relay.port).session() as session:
        for stage in ("MAIL", "RCPT", "DATA", "."):
            relay.replies[stage] = b"451 later\r\n"
            with pytest.raises(ChannelError):
                session.send(Smtp().message)
            del relay.replies[stage]
            relay.verbs.clear()
            session.send(Smtp().message)
            assert relay.verbs[-3:] == ["MAIL", "RCPT", "DATA"]
            assert relay.verbs[:-3] in ([], ["EHLO", "AUTH"])


def test_an_unknown_fate_does_not_cling_to_the_next_mail(relay: SmtpStandIn) -> None:
    with Smtp().backend(relay.port).session() as session:
        relay.replies["."] = Instead.HANG_UP
        with pytest.raises(ChannelError):
            session.send(Smtp().message)
        del relay.replies["."]
        session.send(Smtp().message)
        relay.replies["RCPT"] = Instead.HANG_UP
        with pytest.raises(ChannelError) as failure:
            session.send(Smtp().message)
        assert kind(failure.value) == "not sent"


def test_a_slow_farewell_does_not_hold_the_thread(relay: SmtpStandIn) -> None:
    relay.replies["QUIT"] = Instead.HANG
    assert kind(answered(relay, ".", b"250 ok\r\n")) == "sent"


def test_a_relay_without_auth_is_a_matter_of_configuration(relay: SmtpStandIn) -> None:
    assert kind(answered(relay, "EHLO", b"250 stand-in\r\n")) == "configuration"


def test_a_mail_carries_what_was_given(relay: SmtpStandIn) -> None:
    mail = mail_of(relay, subject="Grüße, Ada", body="Zeile 1\n.\n..\nFrom me\n" + "ü" * 3000)
    assert (mail["From"], mail["To"], mail["Subject"]) == ("Shop <shop@example.com>", "ada@example.com", "Grüße, Ada")
    assert text_of(mail) == "Zeile 1\n.\n..\nFrom me\n" + "ü" * 3000
    assert mail["X-Correlation-ID"] == "c0ffee-1"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_mail_is_seven_bit_lines_of_limited_length(relay: SmtpStandIn) -> None:
    mail_of(relay, subject="ü" * 255, body="€" * 5000)
    assert relay.mails[-1].isascii()
    assert max(map(len, relay.mails[-1].split(b"\r\n"))) <= 998


def test_the_message_id_is_the_notifications_own(relay: SmtpStandIn) -> None:
    mail = mail_of(relay)
    assert mail["Message-ID"] == "<01890a5d-ac96-774b-bcce-b302099a8057@example.com>"
    assert mail["Date"].datetime == Smtp().message.created_at


def test_every_newline_of_a_body_becomes_the_protocols_own(relay: SmtpStandIn) -> None:
    mail = mail_of(relay, body="a\r\nb\rc\nd")
    assert text_of(mail) == "a\nb\nc\nd"
    assert b"\n" not in relay.mails[-1].replace(b"\r\n", b"")
    assert b"\r" not in relay.mails[-1].replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "ada@example.com\r\nBcc: eve@example.com"},
        {"to": "ada@example.com, eve@example.com"},
        {"to": "Ada <ada@example.com>"},
        {"subject": "Hello\r\nBcc: eve@example.com"},
        {"subject": "Hello\nX: y"},
        {"correlation_id": "a\r\nBcc: eve@example.com"},
    ],
)
def test_nothing_stored_can_add_a_header(relay: SmtpStandIn, changes: dict[str, str]) -> None:
    result = outcome(Smtp().backend(relay.port), Smtp().message._replace(**changes))
    assert kind(result) == "permanent"
    assert relay.mails == []


def test_a_sender_that_is_none_fails_no_mail(relay: SmtpStandIn) -> None:
    backend = SmtpEmail(sender="Shop", host="localhost", port=relay.port, security="none")
    assert kind(outcome(backend, Smtp().message)) == "configuration"


def test_a_refusal_does_not_show_the_recipient(relay: SmtpStandIn) -> None:
    error = answered(relay, "RCPT", b"550 5.1.1 <ada@example.com>: unknown\r\n")
    assert isinstance(error, ChannelError)
    assert (error.code, error.detail) == ("550 5.1.1", "answered 550: 5.1.1 <<hidden>>: unknown")


def test_commands_leave_together_only_where_the_relay_says_so(relay: SmtpStandIn) -> None:
    answered(relay, "MAIL", b"450 later\r\n")
    assert ("RCPT" in relay.verbs) == (relay.replies.get("EHLO") is not None)


def test_a_no_stands_though_the_relay_goes_without_another_word(relay: SmtpStandIn) -> None:
    relay.replies["DATA"] = relay.replies["RSET"] = Instead.HANG_UP
    assert kind(answered(relay, "RCPT", b"550 5.1.1 no such user\r\n")) == "permanent"


def test_a_refused_mail_that_the_relay_waits_for_is_not_sent_empty(relay: SmtpStandIn) -> None:
    answered(relay, "RCPT", b"550 5.1.1 no such user\r\n")
    assert relay.mails == []


def test_a_sender_of_any_script_is_named(relay: SmtpStandIn) -> None:
    options = {"sender": "Grüße Ada <shop@example.com>", "host": "localhost", "port": relay.port, "security": "none"}
    outcome(SmtpEmail(**options), Smtp().message)
    assert email.message_from_bytes(relay.mails[0], policy=email.policy.default)["From"] == options["sender"]
