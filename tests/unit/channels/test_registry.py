from __future__ import annotations

import sys
from types import ModuleType

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels import sandbox
from channels.contract import OnUnknown
from channels.registry import backends_of, channel, channel_for, channel_of, channels, is_test, twins
from channels.slack import SlackWebhook

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


def test_a_twin_may_have_another_backend_where_the_sandbox_does_not_play_the_channels() -> None:
    entry = {**SETTINGS["text"], "backend": "channels.apprise.Apprise", "sandbox": PLAYED["sms"]}
    with override_settings(NOTIFIER_CHANNELS={"text": entry}):
        assert (channel("text").backend.name, twins()["text"].backend.name) == ("apprise", "twilio_sms")


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


SPARE = {"name": "spare", "backend": "channels.slack.SlackWebhook", "webhooks": {"ops": f"{WEBHOOK}2"}}
OTHER = {**SPARE, "name": "other-2", "webhooks": {"dev": f"{WEBHOOK}3"}}
WITH_BACKUPS = {**SETTINGS, "chat": {**SETTINGS["chat"], "backups": [SPARE, OTHER]}}


@override_settings(NOTIFIER_CHANNELS=WITH_BACKUPS)
def test_each_backend_of_a_channel_has_lanes_of_its_own_named_by_it() -> None:
    first, spare, other = backends_of(channel("chat"))

    assert list(channels()) == ["chat", "text"]
    assert [each.head for each in (first, spare, other)] == ["chat", "chat@spare", "chat@other-2"]
    assert spare.instead_of("chat:ops") == other.instead_of(first.lane("ops")).replace("other-2", "spare")
    assert first.instead_of("chat@spare:ops") == first.lane("ops") == "chat:ops"
    assert [channel_for(each.instead_of("chat:ops")) for each in (first, spare, other)] == [first, spare, other]
    assert channel_for("chat@spare:ops") is spare
    assert {channel_of(each.instead_of("chat:ops")) for each in (first, spare, other)} == {"chat"}
    assert (spare.on_unknown, spare.batch) == (first.on_unknown, first.batch)


@override_settings(NOTIFIER_CHANNELS=WITH_BACKUPS)
def test_a_backend_that_the_settings_do_not_know_sends_nothing() -> None:
    assert channel_for("chat@gone:ops") is None


@override_settings(NOTIFIER_CHANNELS=WITH_BACKUPS)
def test_a_backup_takes_what_it_can_send() -> None:
    _, spare, other = backends_of(channel("chat"))

    assert spare.takes(to="ops", subject="", body="hello")
    assert not other.takes(to="ops", subject="", body="hello")


def test_a_backup_takes_no_message_of_which_it_would_leave_something_out() -> None:
    text_only = {"name": "apprise", "backend": "channels.apprise.Apprise", "urls": {"ops": "json://localhost"}}
    with override_settings(NOTIFIER_CHANNELS={"chat": {**SETTINGS["chat"], "backups": [SPARE, text_only]}}):
        _, spare, apprise = backends_of(channel("chat"))
        given = {"to": "ops", "subject": "", "body": "hello"}

        assert (spare.takes(**given), apprise.takes(**given)) == (True, True)
        assert (spare.takes(**given, content=["blocks"]), apprise.takes(**given, content=["blocks"])) == (True, False)
        assert not spare.takes(**given, content=["blocks", "html"])


class Broken(SlackWebhook):
    def validate(self, *, to: str, subject: str, body: str) -> str:
        raise ZeroDivisionError


BROKEN = {**SPARE, "backend": f"{__name__}.Broken"}


def test_a_backup_that_fails_to_say_so_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, ModuleType(__name__))
    monkeypatch.setattr(sys.modules[__name__], "Broken", Broken, raising=False)
    with override_settings(NOTIFIER_CHANNELS={"chat": {**SETTINGS["chat"], "backups": [BROKEN]}}):
        assert not backends_of(channel("chat"))[1].takes(to="ops", subject="", body="hello")


@override_settings(NOTIFIER_CHANNELS={"text": {**SETTINGS["text"], "backups": [{**SETTINGS["text"], "name": "b"}]}})
def test_a_backup_without_a_provider_takes_nothing() -> None:
    assert not backends_of(channel("text"))[1].takes(to="+14155552671", subject="", body="hello")


@override_settings(NOTIFIER_CHANNELS=WITH_BACKUPS)
def test_a_worker_that_knows_of_no_backups_finds_no_channel_for_their_lanes() -> None:
    assert "chat@spare:ops".partition(":")[0] not in channels()  # as it reads them


PLAYED_SPARE = {**SPARE, "sandbox": PLAYED["slack"]}


@override_settings(
    NOTIFIER_CHANNELS={"chat": {**WITH_SANDBOX["chat"], "backups": [OTHER, PLAYED_SPARE]}, "text": SETTINGS["text"]}
)
def test_a_test_goes_on_by_the_twins_of_backups_and_never_by_a_backup() -> None:
    twin, spare = backends_of(twins()["chat"])

    assert (twin.instead_of("~test:chat@spare:ops"), spare.instead_of("~test:chat:ops")) == (
        "~test:chat:ops",
        "~test:chat@spare:ops",
    )
    assert channel_for("~test:chat@spare:ops") is spare
    assert channel_for("~test:chat@other-2:ops") is None
    assert "8025" in vars(spare.backend)["_webhooks"]["ops"]


@pytest.mark.parametrize("name", ["Spare", "a:b", "a@b", "", None, "x" * 31])
def test_a_backup_needs_a_name_that_lanes_and_addresses_can_bear(name: str | None) -> None:
    entry = {**SETTINGS["chat"], "backups": [{**SPARE, "name": name}]}
    with (
        override_settings(NOTIFIER_CHANNELS={"chat": entry}),
        pytest.raises(ImproperlyConfigured, match=r'"chat".*"backups".*"name"'),
    ):
        channels()


@pytest.mark.parametrize("name", ["chat@spare", "~test"])
def test_no_channel_passes_for_a_backup(name: str) -> None:
    with override_settings(NOTIFIER_CHANNELS={name: SETTINGS["chat"]}), pytest.raises(ImproperlyConfigured):
        channels()


def test_two_backups_of_one_name_are_refused() -> None:
    entry = {**SETTINGS["chat"], "backups": [SPARE, SPARE]}
    with override_settings(NOTIFIER_CHANNELS={"chat": entry}), pytest.raises(ImproperlyConfigured, match="of its own"):
        channels()
