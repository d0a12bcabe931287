"""The service's settings for a worker whose channels have a second provider each."""

import os

from notifier.settings import *  # noqa: F403
from notifier.settings import NOTIFIER_CHANNELS as _CHANNELS

_SPARE = os.environ.get("SPARE_URL", "")
_TWILIO = {
    "account_sid": "AC" + "0" * 32,
    "auth_token": os.environ.get("SPARE_TOKEN", "spare"),
    "from_number": "+15005550006",
    "base_url": _SPARE,
}
_SLACK = {"webhooks": {"default": f"{_SPARE}/services/T00000000/B00000000/spare"}}

if _SPARE:
    NOTIFIER_CHANNELS = {
        **_CHANNELS,
        "sms": {
            **_CHANNELS["sms"],
            "backups": [{"name": "spare", "backend": "channels.twilio_sms.TwilioSms", **_TWILIO}],
        },
        "slack": {
            **_CHANNELS["slack"],
            "backups": [{"name": "spare", "backend": "channels.slack.SlackWebhook", **_SLACK}],
        },
    }
elif os.environ.get("KEYED_URL"):
    NOTIFIER_CHANNELS = {
        **_CHANNELS,
        "sms": {
            **_CHANNELS["sms"],
            "backend": "tests.integration.dispatch.keyed.Keyed",
            "url": os.environ["KEYED_URL"],
        },
    }
