"""Stand-ins for the providers, on one's own machine: Slack, Twilio's Messages API and an SMTP server.

This module is read before Django is set up (by the command that starts everything), so it imports the
standard library alone; the servers themselves are in `channels.sandbox.server`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

# Any account is taken (see twilio.py for what is refused), but it must look like one.
ACCOUNT_SID = "AC" + "0" * 32
FROM_NUMBER = "+15005550006"  # the sender that Twilio's own test credentials accept
AUTH_TOKEN = "sandbox"  # noqa: S105 - nobody's secret: what opens no real account
SENDER = "Sandbox <sandbox@example.com>"
WEBHOOKS = "/services/T00000000/B00000000/"
WEBHOOK_PATH = f"{WEBHOOKS}sandbox"


def environment(http_port: int, smtp_port: int, host: str = "127.0.0.1") -> dict[str, str]:
    """The provider variables that point every channel at a sandbox listening on these ports."""
    base_url = f"http://{f'[{host}]' if ':' in host else host}:{http_port}"
    return {
        "SLACK_WEB_HOOK_URL": base_url + WEBHOOK_PATH,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_FROM_NUMBER": FROM_NUMBER,
        "TWILIO_BASE_URL": base_url,
        "EMAIL_SENDER": SENDER,
        "SMTP_HOST": host,
        "SMTP_PORT": str(smtp_port),
        "SMTP_SECURITY": "none",
    }


def options(url: str, smtp_port: int, webhooks: Iterable[str]) -> dict[str, Mapping[str, object]]:
    """Of each channel that the sandbox at this address plays, the backend, and all the options it needs to send there.

    They are nobody's credentials: whatever else may answer at the address, no account is opened by them.
    """
    base_url = url.rstrip("/")
    return {
        "slack": {
            "backend": "channels.slack.SlackWebhook",
            "webhooks": {name: f"{base_url}{WEBHOOKS}{quote(name, safe='')}" for name in webhooks},
        },
        "email": {
            "backend": "channels.smtp.SmtpEmail",
            "sender": SENDER,
            "host": urlsplit(url).hostname or "",
            "port": smtp_port,
            "security": "none",
        },
        "sms": {
            "backend": "channels.twilio_sms.TwilioSms",
            "account_sid": ACCOUNT_SID,
            "auth_token": AUTH_TOKEN,
            "from_number": FROM_NUMBER,
            "base_url": base_url,
        },
    }


def plays(options: Mapping[str, Any]) -> bool:
    """Whether a backend with these options sends to a sandbox: by what is the sandbox's own, wherever it listens."""
    places = [*options.get("webhooks", {}).values()]
    return (
        options.get("account_sid") == ACCOUNT_SID
        or options.get("sender") == SENDER
        or (bool(places) and all(WEBHOOKS in place for place in places))
    )
