"""Stand-ins for the providers, on one's own machine: Slack, Twilio's Messages API and an SMTP server.

This module is read before Django is set up (by the command that starts everything), so it imports the
standard library alone; the servers themselves are in `channels.sandbox.server`.
"""

from __future__ import annotations

# Any account is taken (see twilio.py for what is refused), but it must look like one.
ACCOUNT_SID = "AC" + "0" * 32
FROM_NUMBER = "+15005550006"  # the sender that Twilio's own test credentials accept
WEBHOOK_PATH = "/services/T00000000/B00000000/sandbox"


def environment(http_port: int, smtp_port: int, host: str = "127.0.0.1") -> dict[str, str]:
    """The provider variables that point every channel at a sandbox listening on these ports."""
    base_url = f"http://{f'[{host}]' if ':' in host else host}:{http_port}"
    return {
        "SLACK_WEB_HOOK_URL": base_url + WEBHOOK_PATH,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": "sandbox",
        "TWILIO_FROM_NUMBER": FROM_NUMBER,
        "TWILIO_BASE_URL": base_url,
        "EMAIL_SENDER": "Sandbox <sandbox@example.com>",
        "SMTP_HOST": host,
        "SMTP_PORT": str(smtp_port),
        "SMTP_SECURITY": "none",
    }
