"""The backends of each channel, as the environment lists them: the first, and in their order its backups.

`SMS_BACKENDS="twilio,apprise:vonage://…/{to}"`. Each is named by its kind, a second of the kind with a number behind it
(`apprise2`): by these names backups have lanes, `sms@apprise`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

from django.core.exceptions import ImproperlyConfigured

from channels.apprise_service import PLACE
from notifier import environment
from notifier.environment import Kinds, Options

_APPRISE = "channels.apprise.Apprise"
# Loose, because whom it sends to has been an address to a backend before, or is judged by the service itself.
_ADDRESS = r"[^@\s]+@[^@\s]+"


def slack(webhooks: Mapping[str, str]) -> Kinds:
    """Webhooks, and one service for all that they are named for, or with `{to}` for each by its name."""
    return {
        "webhooks": lambda _: {"backend": "channels.slack.SlackWebhook", "webhooks": webhooks},
        "apprise:": partial(_for_names, "SLACK_BACKENDS", tuple(webhooks) or ("default",)),
    }


def email() -> Kinds:
    sender = environment.text("EMAIL_SENDER")
    security = environment.choice("SMTP_SECURITY", ("tls", "starttls", "none"), "tls")
    smtp = {
        "backend": "channels.smtp.SmtpEmail",
        "sender": sender,
        "host": environment.text("SMTP_HOST"),
        "port": environment.number("SMTP_PORT", {"tls": 465, "starttls": 587, "none": 25}[security]),
        "username": environment.text("SMTP_USERNAME"),
        "password": environment.text("SMTP_PASSWORD"),
        "security": security,
        "ca_file": environment.text("SMTP_CA_FILE"),
    }
    resend = {
        "backend": "channels.resend.Resend",
        "sender": sender,
        "api_key": environment.text("RESEND_API_KEY"),
        "base_url": environment.text("RESEND_BASE_URL"),
    }
    return {
        "smtp": lambda _: smtp,
        "resend": lambda _: resend,
        "django:": partial(_django, "EMAIL_BACKENDS", sender),
        "apprise:": partial(_for_each, "EMAIL_BACKENDS", _ADDRESS),
    }


def sms(max_segments: int) -> Kinds:
    twilio = {
        "backend": "channels.twilio_sms.TwilioSms",
        "account_sid": environment.text("TWILIO_ACCOUNT_SID"),
        "auth_token": environment.text("TWILIO_AUTH_TOKEN"),
        "from_number": environment.text("TWILIO_FROM_NUMBER"),
        "messaging_service_sid": environment.text("TWILIO_MESSAGING_SERVICE_SID"),
        "base_url": environment.text("TWILIO_BASE_URL"),
        "max_segments": max_segments,
    }
    return {"twilio": lambda _: twilio, "apprise:": partial(_for_each, "SMS_BACKENDS", "")}


def entry(listed: Sequence[Options], *, rate: str) -> dict[str, Any]:
    """What of a channel's entry is its backends'. `rate`: of each lane, whichever of them it is."""
    first, *backups = [{**options, "rate": rate} for options in listed]
    del first["name"]
    return {**first, "backups": backups}


def secrets(channels: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is secret in what the lists themselves say: URLs, and options of Django's backends."""
    for options in channels.values():
        for each in (options, *options.get("backups", ())):
            for url in (*each.get("urls", {}).values(), each.get("url", "")):
                yield from {url, url.partition(PLACE)[0]}  # no recipient is in front of its place
            yield from each.get("email_options", {}).values()


def _for_each(variable: str, pattern: str, url: str) -> Options:
    return {"backend": _APPRISE, "variable": variable, "url": url, "pattern": pattern}


def _for_names(variable: str, names: Sequence[str], url: str) -> Options:
    urls = {name: url.replace(PLACE, quote(name, safe="")) for name in names}
    return {"backend": _APPRISE, "variable": variable, "urls": urls}


def _django(variable: str, sender: str, needs: str) -> Options:
    """`needs`: the dotted path of the class; behind a question mark its keyword arguments, as in a URL."""
    path, _, query = needs.partition("?")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise ImproperlyConfigured(
            f"{variable}: what follows the ? of a django: must be name=value, with & between them."
        ) from None
    return {
        "backend": "channels.django_email.DjangoEmail",
        "variable": variable,
        "email_backend": path,
        "email_options": options,
        "sender": sender,
    }
