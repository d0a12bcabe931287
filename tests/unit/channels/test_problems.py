"""Settings that cannot work are told by the variable to mend, and never by their secret."""

from __future__ import annotations

from typing import Any

import pytest

from channels.apprise import Apprise
from channels.contract import Backend
from channels.django_email import DjangoEmail
from channels.resend import Resend
from channels.slack import SlackWebhook
from channels.smtp import SmtpEmail
from channels.twilio_sms import TwilioSms

TWILIO = {"account_sid": "AC" + "0" * 32, "auth_token": "t0ken", "from_number": "+15005550006"}
SMTP = {"sender": "Shop <shop@example.com>", "host": "smtp.example.com", "port": 465, "security": "tls"}
RESEND = {"api_key": "re_123", "sender": "Shop <shop@example.com>"}
DJANGO = {"email_backend": "django.core.mail.backends.smtp.EmailBackend", "sender": "shop@example.com"}
VONAGE = "vonage://key:secret@15005550006"
SERVICE = "MG" + "0" * 32


def variables(backend: Backend) -> list[str]:
    return [problem.variable for problem in backend.problems()]


def twilio(**changes: Any) -> TwilioSms:
    return TwilioSms.from_options({**TWILIO, **changes})


def smtp(**changes: Any) -> SmtpEmail:
    return SmtpEmail.from_options({**SMTP, **changes})


@pytest.mark.parametrize("backend", [SlackWebhook, TwilioSms, SmtpEmail, Resend, DjangoEmail, Apprise])
def test_a_channel_with_no_options_is_unconfigured_and_no_problem(backend: type[Backend]) -> None:
    built = backend.from_options({})
    assert not built.configured
    assert variables(built) == []


@pytest.mark.parametrize(
    "backend",
    [
        SlackWebhook(
            {"default": "https://hooks.slack.com/services/T/B/x", "ops": "https://hooks.slack.com/services/y"}
        ),
        SlackWebhook({"default": "http://127.0.0.1:8025/services/x"}),
        SlackWebhook({"default": "http://[::1]:8025/services/x"}),
        SlackWebhook({"default": "http://sandbox:8025/services/x"}),
        twilio(),
        twilio(from_number="", messaging_service_sid=SERVICE),
        twilio(base_url="http://localhost:8025"),
        smtp(),
        smtp(security="starttls", username="shop", password="secret"),
        smtp(security="none"),
        smtp(security="none", host="127.0.0.1", username="shop", password="secret"),
        smtp(sender="shop@example.com"),
        Resend.from_options(RESEND),
        Resend.from_options({**RESEND, "base_url": "http://localhost:8025"}),
        DjangoEmail.from_options(DJANGO),
        DjangoEmail.from_options({**DJANGO, "email_options": {"host": "localhost", "use_tls": True}}),
        Apprise(urls={"phone": "ntfy://alerts", "team": "discord://123456789012345678/aBcDeFgHiJ"}),
        Apprise(urls={"phone": "json://localhost?retry=3&optional=yes"}),
        Apprise(url=f"{VONAGE}/{{to}}"),
        Apprise(url="mailto://shop:secret@example.com?to={to}", pattern="[^@,]+@[^@,]+"),
    ],
)
def test_settings_that_work_have_no_problem(backend: Backend) -> None:
    assert backend.configured
    assert variables(backend) == []


@pytest.mark.parametrize(
    ("name", "url", "variable"),
    [
        ("default", "http://hooks.slack.com/services/T/B/x", "SLACK_WEB_HOOK_URL"),
        ("default", "hooks.slack.com/services/T/B/x", "SLACK_WEB_HOOK_URL"),
        ("default", "https://", "SLACK_WEB_HOOK_URL"),
        ("default", "https://hooks.slack.com:99999/x", "SLACK_WEB_HOOK_URL"),
        ("default", "https://[::1/x", "SLACK_WEB_HOOK_URL"),
        ("default", "https://hooks.slack.com/", "SLACK_WEB_HOOK_URL"),
        ("ops", "http://203.0.113.5/services/x", "SLACK_WEBHOOKS"),
        ("a:b", "https://hooks.slack.com/services/x", "SLACK_WEBHOOKS"),
        ("x" * 51, "https://hooks.slack.com/services/x", "SLACK_WEBHOOKS"),
    ],
)
def test_a_webhook_that_cannot_work_is_named(name: str, url: str, variable: str) -> None:
    assert variables(SlackWebhook({name: url})) == [variable]


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"auth_token": ""}, "TWILIO_AUTH_TOKEN"),
        ({"account_sid": ""}, "TWILIO_ACCOUNT_SID"),
        ({"account_sid": "SK123"}, "TWILIO_ACCOUNT_SID"),
        ({"from_number": ""}, "TWILIO_FROM_NUMBER"),
        ({"from_number": "500-555-0006"}, "TWILIO_FROM_NUMBER"),
        ({"messaging_service_sid": SERVICE}, "TWILIO_FROM_NUMBER"),
        ({"from_number": "", "messaging_service_sid": "MG1"}, "TWILIO_MESSAGING_SERVICE_SID"),
        ({"base_url": "http://api.twilio.com"}, "TWILIO_BASE_URL"),
        ({"base_url": "ftp://localhost"}, "TWILIO_BASE_URL"),
    ],
)
def test_a_twilio_setting_that_cannot_work_is_named(changes: dict[str, str], variable: str) -> None:
    assert variables(twilio(**changes)) == [variable]


def test_two_senders_are_told_apart_from_none() -> None:
    (both,) = twilio(messaging_service_sid=SERVICE).problems()
    (neither,) = twilio(from_number="").problems()
    assert "keep" in both.detail
    assert "must be set" in neither.detail


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"sender": ""}, "EMAIL_SENDER"),
        ({"sender": "Shop"}, "EMAIL_SENDER"),
        ({"sender": "a@example.com, b@example.com"}, "EMAIL_SENDER"),
        ({"sender": "Shop\r\nBcc: eve@example.com <shop@example.com>"}, "EMAIL_SENDER"),
        ({"host": ""}, "SMTP_HOST"),
        ({"username": "shop"}, "SMTP_PASSWORD"),
        ({"password": "secret"}, "SMTP_USERNAME"),
        ({"security": "none", "username": "shop", "password": "secret"}, "SMTP_SECURITY"),
        ({"security": "none", "username": "shop", "password": "secret", "host": "relay"}, "SMTP_SECURITY"),
        ({"ca_file": "/nowhere/ca.pem"}, "SMTP_CA_FILE"),
    ],
)
def test_a_mail_setting_that_cannot_work_is_named(changes: dict[str, str], variable: str) -> None:
    assert variables(smtp(**changes)) == [variable]


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"api_key": "", "base_url": "https://api.resend.com"}, "RESEND_API_KEY"),
        ({"api_key": "re_123 456"}, "RESEND_API_KEY"),
        ({"sender": ""}, "EMAIL_SENDER"),
        ({"sender": "Shop"}, "EMAIL_SENDER"),
        ({"base_url": "http://api.resend.com"}, "RESEND_BASE_URL"),
    ],
)
def test_a_setting_of_resend_that_cannot_work_is_named(changes: dict[str, str], variable: str) -> None:
    assert variables(Resend.from_options({**RESEND, **changes})) == [variable]


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"email_backend": "", "email_options": {"host": "localhost"}}, "email_backend"),
        ({"email_backend": "nowhere.EmailBackend"}, "email_backend"),
        ({"email_options": {"use_tls": True, "use_ssl": True}}, "email_backend"),
        ({"sender": ""}, "EMAIL_SENDER"),
        ({"sender": "a@example.com, b@example.com"}, "EMAIL_SENDER"),
    ],
)
def test_an_option_of_a_django_backend_that_cannot_work_is_named(changes: dict[str, Any], variable: str) -> None:
    assert variables(DjangoEmail.from_options({**DJANGO, **changes})) == [variable]


@pytest.mark.parametrize(
    "backend",
    [
        DjangoEmail.from_options({**DJANGO, "email_backend": "nowhere.EmailBackend", "variable": "EMAIL_BACKENDS"}),
        Apprise.from_options({"url": VONAGE, "variable": "EMAIL_BACKENDS"}),
        Apprise.from_options({"urls": {"ops": "nosuch://localhost"}, "variable": "EMAIL_BACKENDS"}),
    ],
    ids=["django", "apprise for each", "apprise by name"],
)
def test_what_a_list_has_set_is_told_by_the_list(backend: Backend) -> None:
    assert variables(backend) == ["EMAIL_BACKENDS"]


@pytest.mark.parametrize("backend", [Resend, DjangoEmail])
def test_a_sender_alone_may_be_another_backends(backend: type[Backend]) -> None:
    assert variables(backend.from_options({"sender": "shop@example.com"})) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nosuch://localhost", "none that apprise knows"),
        ("localhost", "none that apprise knows"),
        ("file:///etc/passwd", "none that apprise knows"),
        ("config://localhost/all", "none that apprise knows"),
        ("json://localhost, json://localhost/other", "several services"),
        ("ntfy://localhost/alerts/news", "several recipients"),
        ("json://localhost?overflow=split", "overflow"),
    ],
)
def test_a_url_that_is_not_one_service_is_told_by_its_name(url: str, words: str) -> None:
    (problem,) = Apprise(urls={"phone": url}).problems()
    assert problem.variable == "APPRISE_URLS"
    assert "'phone'" in problem.detail
    assert words in problem.detail


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": VONAGE}, "no {to}"),
        ({"url": f"{VONAGE}/?x={{to}}"}, "takes no recipient"),
        ({"url": "nosuch://{to}"}, "none that apprise knows"),
        ({"url": f"{VONAGE}/{{to}}/15005550009"}, "several recipients"),
        ({"url": f"{VONAGE}/{{to}}", "pattern": "("}, "no regular expression"),
        ({"url": f"{VONAGE}/{{to}}", "urls": {"phone": "json://localhost"}}, "keep one"),
    ],
)
def test_a_url_for_recipients_that_cannot_work_is_told(options: dict[str, Any], words: str) -> None:
    (problem,) = Apprise.from_options(options).problems()
    assert problem.variable == "url"
    assert words in problem.detail
    assert "secret" not in problem.detail


def test_no_problem_shows_a_secret() -> None:
    backends = [
        SlackWebhook({"default": "http://hooks.slack.com/services/T/B/s3cret"}),
        twilio(auth_token="s3cret", account_sid="x"),
        smtp(security="none", username="shop", password="s3cret"),
        Resend(api_key="s3cret s3cret", sender="shop@example.com"),
        DjangoEmail(**{**DJANGO, "email_options": {"password": "s3cret", "use_tls": True, "use_ssl": True}}),
        Apprise(urls={"phone": "nosuch://s3cret@localhost"}),
    ]
    shown = [problem.detail for backend in backends for problem in backend.problems()]
    assert len(shown) == 6
    assert [detail for detail in shown if "s3cret" in detail] == []
