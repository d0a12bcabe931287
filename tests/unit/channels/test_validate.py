"""What each channel accepts as a recipient, a subject and a message."""

from __future__ import annotations

import pytest

from channels.apprise import Apprise
from channels.contract import Backend, Unacceptable
from channels.django_email import DjangoEmail
from channels.resend import Resend
from channels.slack import SlackWebhook
from channels.smtp import SmtpEmail
from channels.twilio_sms import TwilioSms

SLACK = SlackWebhook({"default": "https://hooks.slack.com/a", "ops": "https://hooks.slack.com/b"})
SMS = TwilioSms()
EMAIL = SmtpEmail()
APPRISE = Apprise(urls={"phone": "json://localhost", "ops": "json://localhost/ops"})
BACKUP = Apprise(url="vonage://key:secret@15005550006/{to}")


def refusal(backend: Backend, *, to: str, subject: str = "", body: str = "hello") -> tuple[str, str]:
    with pytest.raises(Unacceptable) as refused:
        backend.validate(to=to, subject=subject, body=body)
    return refused.value.field, refused.value.code


def test_slack_sends_to_a_webhook_by_its_name() -> None:
    assert SLACK.validate(to="ops", subject="", body="hello") == "ops"


def test_slack_sends_to_the_default_webhook_where_none_is_named() -> None:
    assert SLACK.validate(to="", subject="", body="hello") == "default"


@pytest.mark.parametrize("to", ["", "default", "ops"])
def test_the_only_webhook_is_the_default_one(to: str) -> None:
    assert SlackWebhook({"ops": "https://hooks.slack.com/b"}).validate(to=to, subject="", body="hello") == "ops"


@pytest.mark.parametrize("to", ["nobody", "Ops", "ops ", "https://hooks.slack.com/a"])
def test_slack_refuses_a_name_that_no_webhook_has(to: str) -> None:
    assert refusal(SLACK, to=to) == ("to", "unknown_destination")


def test_slack_has_no_default_among_several_named_webhooks() -> None:
    named = SlackWebhook({"ops": "https://hooks.slack.com/a", "dev": "https://hooks.slack.com/b"})
    assert refusal(named, to="default") == ("to", "unknown_destination")


def test_slack_without_webhooks_has_no_destination() -> None:
    assert refusal(SlackWebhook({}), to="default") == ("to", "unknown_destination")


def test_each_webhook_is_a_lane_of_its_own() -> None:
    assert SLACK.destination("ops") == "ops"
    assert SMS.destination("+15005550010") == EMAIL.destination("ada@example.com") == ""


def test_a_subject_is_refused_where_it_would_be_lost() -> None:
    assert refusal(SLACK, to="ops", subject="Hello") == ("subject", "not_supported")
    assert refusal(SMS, to="+15005550010", subject="Hello") == ("subject", "not_supported")


@pytest.mark.parametrize("subject", ["", "   "])
def test_an_email_needs_a_subject(subject: str) -> None:
    assert refusal(EMAIL, to="ada@example.com", subject=subject) == ("subject", "required")


def test_a_subject_is_one_line_of_limited_length() -> None:
    assert refusal(EMAIL, to="ada@example.com", subject="a\r\nBcc: eve@example.com") == (
        "subject",
        "invalid_characters",
    )
    assert refusal(EMAIL, to="ada@example.com", subject="x" * 256) == ("subject", "too_long")
    assert EMAIL.validate(to="ada@example.com", subject="ü" * 255, body="hello") == "ada@example.com"


@pytest.mark.parametrize(
    ("backend", "to", "subject", "longest"),
    [
        (SLACK, "ops", "", "x" * 40_000),
        (SMS, "+15005550010", "", "x" * 1600),
        (EMAIL, "ada@example.com", "Hello", "x" * 262_144),
        (EMAIL, "ada@example.com", "Hello", "ü" * 131_072),
        (APPRISE, "phone", "", "x" * 32_768),
        (BACKUP, "+15005550010", "", "x" * 32_768),
    ],
)
def test_a_message_has_a_longest_length(backend: Backend, to: str, subject: str, longest: str) -> None:
    backend.validate(to=to, subject=subject, body=longest)
    assert refusal(backend, to=to, subject=subject, body=longest + longest[0]) == ("message", "too_long")


@pytest.mark.parametrize(
    ("backend", "to", "subject"),
    [(SLACK, "", ""), (SMS, "+15005550010", ""), (EMAIL, "a@b.co", "s"), (APPRISE, "ops", "")],
)
@pytest.mark.parametrize(("body", "code"), [("", "blank"), (" \n", "blank"), ("a\x00", "invalid_characters")])
def test_no_channel_sends_nothing(backend: Backend, to: str, subject: str, body: str, code: str) -> None:
    assert refusal(backend, to=to, subject=subject, body=body) == ("message", code)


@pytest.mark.parametrize(
    "number", ["+15005550006", "+15005550010", "+4915112345678", "+442071838750", "+8613800138000"]
)
def test_a_number_in_e164_is_taken_as_it_is(number: str) -> None:
    assert SMS.validate(to=number, subject="", body="hello") == number


@pytest.mark.parametrize(
    "number",
    [
        "",
        "15005550006",
        "0015005550006",
        "+0123456789",
        "+1 500 555 0006",
        "+1-500-555-0006",
        "(500) 555-0006",
        "tel:+15005550006",
        "+15005550006;ext=5",
        "+1500",
        "+150055500061234567",
        "+999123456789",
        "+1500555000x",
        "+1500555000\uff16",  # a full-width digit
        "+15005550006\n",
        " +15005550006",
        "ada@example.com",
    ],
)
def test_a_number_that_is_not_in_e164_is_refused(number: str) -> None:
    assert refusal(SMS, to=number) == ("to", "invalid_phone_number")


def test_an_email_address_comes_back_normalised() -> None:
    assert EMAIL.validate(to="Ada@Bücher.Example", subject="Hello", body="x") == "Ada@xn--bcher-kva.example"


def test_an_email_to_nobody_is_refused() -> None:
    assert refusal(EMAIL, to="ada", subject="Hello") == ("to", "invalid_email_address")


@pytest.mark.parametrize("backend", [Resend(), DjangoEmail()])
def test_every_email_backend_asks_the_same(backend: Backend) -> None:
    assert backend.validate(to="Ada@Bücher.Example", subject="Hello", body="x") == "Ada@xn--bcher-kva.example"
    assert refusal(backend, to="ada", subject="Hello") == ("to", "invalid_email_address")
    assert refusal(backend, to="ada@example.com") == ("subject", "required")
    assert backend.rules() == EMAIL.rules()
    assert backend.destination("ada@example.com") == ""


def test_apprise_sends_to_a_destination_by_its_name_and_each_is_a_lane_of_its_own() -> None:
    assert APPRISE.validate(to="phone", subject="", body="hello") == APPRISE.destination("phone") == "phone"
    assert Apprise(urls={"phone": "json://localhost"}).validate(to="", subject="", body="hello") == "phone"


@pytest.mark.parametrize("to", ["", "default", "nobody", "Phone", "json://localhost", "+15005550010"])
def test_apprise_refuses_a_name_that_no_destination_has(to: str) -> None:
    assert refusal(APPRISE, to=to) == ("to", "unknown_destination")


def test_apprise_takes_a_title_of_one_line() -> None:
    assert APPRISE.validate(to="ops", subject="x" * 250, body="hello") == "ops"
    assert refusal(APPRISE, to="ops", subject="x" * 251) == ("subject", "too_long")
    assert refusal(APPRISE, to="ops", subject="a\nb") == ("subject", "invalid_characters")


def test_apprise_as_a_backup_takes_a_number_in_e164_and_has_one_lane() -> None:
    assert BACKUP.validate(to="+15005550010", subject="", body="hello") == "+15005550010"
    assert BACKUP.destination("+15005550010") == ""


@pytest.mark.parametrize("to", ["", "15005550010", "+1500", "+15005550010\n", "+15005550010,+15005550011", "phone"])
def test_apprise_as_a_backup_refuses_what_its_pattern_does_not_match(to: str) -> None:
    assert refusal(BACKUP, to=to) == ("to", "invalid_recipient")


def test_the_pattern_of_a_backup_is_its_own() -> None:
    mail = Apprise(url="mailto://shop:secret@example.com?to={to}", pattern="[a-z]+@example[.]com")
    assert mail.validate(to="ada@example.com", subject="", body="hello") == "ada@example.com"
    assert refusal(mail, to="ada@example.org") == ("to", "invalid_recipient")


def test_an_sms_may_be_limited_in_segments_and_the_refusal_says_how_many_it_takes() -> None:
    limited = TwilioSms(max_segments=2)
    for longest in ("a" * 306, "ж" * 134):
        assert limited.validate(to="+15005550010", subject="", body=longest)
        assert refusal(limited, to="+15005550010", body=longest + longest[0]) == ("message", "too_many_segments")
    with pytest.raises(
        Unacceptable, match=r"takes 3 segments in UCS-2, and may take 2: .* leave out what GSM-7 has not"
    ):
        limited.validate(to="+15005550010", subject="", body="ж" * 135)


def test_what_is_limited_in_segments_is_not_accepted_by_the_database_which_cannot_count_them() -> None:
    assert SMS.rules() is not None
    assert TwilioSms(max_segments=2).rules() is None


def test_an_sms_is_measured_and_nothing_else_is() -> None:
    assert SMS.measure("naïve") == {"encoding": "UCS-2", "segments": 1}
    assert SLACK.measure("hello") == EMAIL.measure("hello") == {}
