from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels.contract import OnUnknown
from channels.registry import channel, channel_of, channels

WEBHOOK = "https://hooks.slack.com/services/T/B/x"
SETTINGS = {
    "chat": {
        "backend": "channels.slack.SlackWebhook",
        "on_unknown": "resend",
        "batch": 20,
        "webhooks": {"ops": WEBHOOK},
    },
    "text": {"backend": "channels.twilio_sms.TwilioSms", "on_unknown": "hold", "batch": 10},
}


@override_settings(NOTIFIER_CHANNELS=SETTINGS)
def test_channels_are_built_from_the_settings_in_their_order() -> None:
    assert list(channels()) == ["chat", "text"]
    assert (channel("text").on_unknown, channel("text").batch) == (OnUnknown.HOLD, 10)


@override_settings(NOTIFIER_CHANNELS=SETTINGS)
def test_a_lane_is_the_channel_or_one_of_its_destinations() -> None:
    assert channel("chat").lane("ops") == "chat:ops"
    assert channel("text").lane("+15005550010") == "text"
    assert channel_of("chat:ops") == channel_of("chat") == "chat"


def test_other_settings_build_other_channels() -> None:
    with override_settings(NOTIFIER_CHANNELS=SETTINGS):
        assert channel("chat").backend.configured
    with override_settings(NOTIFIER_CHANNELS={}), pytest.raises(KeyError):
        channel("chat")


@pytest.mark.parametrize("policy", [{"on_unknown": "retry"}, {"on_unknown": None}, {}])
def test_an_entry_without_a_known_policy_is_refused_by_its_name(policy: dict[str, object]) -> None:
    entry = {"backend": "channels.slack.SlackWebhook", "batch": 20, **policy}
    with (
        override_settings(NOTIFIER_CHANNELS={"chat": entry}),
        pytest.raises(ImproperlyConfigured, match=r'"chat".*"on_unknown".*resend or hold'),
    ):
        channels()
