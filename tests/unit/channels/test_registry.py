from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels import sandbox
from channels.contract import OnUnknown
from channels.registry import channel, channel_for, channel_of, channels, is_test, twins

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


@override_settings(
    NOTIFIER_CHANNELS={"text": {**SETTINGS["text"], "rate": "10/s", "sandbox": {"base_url": "http://a"}}}
)
def test_a_channel_is_paced_and_its_twin_is_not() -> None:
    assert str(channel("text").rate) == "10/s"
    assert twins()["text"].rate is None


@override_settings(NOTIFIER_CHANNELS={"text": {**SETTINGS["text"], "rate": "fast"}})
def test_a_rate_that_is_none_is_refused_by_its_place() -> None:
    with pytest.raises(ImproperlyConfigured, match=r'\["text"\]\["rate"\] must be'):
        channels()


PLAYED = sandbox.options("http://127.0.0.1:8025", 1025, ["ops"])
WITH_SANDBOX = {
    "chat": {**SETTINGS["chat"], "sandbox": PLAYED["slack"]},
    "text": {**SETTINGS["text"], "account_sid": "AC1", "auth_token": "live", "sandbox": None},
}


@override_settings(NOTIFIER_CHANNELS=WITH_SANDBOX)
def test_a_twin_has_its_channels_backend_and_policy_and_none_of_its_options() -> None:
    assert list(twins()) == ["chat"]
    live, twin = channel("chat"), twins()["chat"]
    assert (type(twin.backend), twin.on_unknown, twin.batch) == (type(live.backend), live.on_unknown, live.batch)
    assert vars(live.backend)["_webhooks"] == {"ops": WEBHOOK}
    assert vars(twin.backend)["_webhooks"] == {"ops": "http://127.0.0.1:8025/services/T00000000/B00000000/ops"}


@override_settings(NOTIFIER_CHANNELS=WITH_SANDBOX)
def test_a_lane_says_whether_it_is_for_tests_and_who_sends_them() -> None:
    live, test = channel("chat").lane("ops"), twins()["chat"].lane("ops")

    assert (live, test) == ("chat:ops", "~test:chat:ops")
    assert (is_test(live), is_test(test)) == (False, True)
    assert channel_of(live) == channel_of(test) == "chat"
    assert (channel_for(live), channel_for(test)) == (channel("chat"), twins()["chat"])
    assert (channel_for("text"), channel_for("~test:text")) == (channel("text"), None)


@override_settings(NOTIFIER_CHANNELS=WITH_SANDBOX)
def test_who_knows_nothing_of_twins_finds_no_channel_for_a_test_lane() -> None:
    lane = twins()["chat"].lane("ops")

    assert lane.partition(":")[0] not in channels()  # as workers read it before there were any


@override_settings(NOTIFIER_CHANNELS={"~test": SETTINGS["chat"]})
def test_no_live_lane_can_pass_for_a_test_one() -> None:
    with pytest.raises(ImproperlyConfigured, match="mark of test lanes"):
        channels()


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
