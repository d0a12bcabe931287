"""The function itself: what it says in words, what it makes of time, and that it can be taken back and come again."""

from __future__ import annotations

import json
import time
import uuid
from types import ModuleType
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from pytest_django import Settings

from notifications.models import ChannelRules, Client, Notification
from notifications.outbox import channel_rules
from notifier.postgres_broker import NOTIFY_CHANNEL
from tests.contract.test_adding_a_channel import ntfy as ntfy
from tests.factories import ClientFactory

from .faces import InProcess, Mend, Sql, by_django, call
from .test_same_rules import stored

BEFORE = "0005"  # the migration that it follows
SLACK = {"channel": "slack", "message": "hello"}


def diagnosis(client: Client, **fields: Any) -> psycopg.errors.Diagnostic:
    with pytest.raises(DatabaseError) as refused:
        call(by_django, client.name, **fields)
    assert isinstance(refused.value.__cause__, psycopg.Error)
    return refused.value.__cause__.diag


def test_a_refusal_names_the_field_the_code_and_what_to_mend(client: Client) -> None:
    said = diagnosis(client, channel="sms", message="hello", to="a secret")

    assert said.sqlstate == "NK001"
    assert said.message_primary == "recipient: must be a phone number in E.164: +, country and number, digits only"
    assert json.loads(said.message_detail or "") == {"field": "recipient", "code": "invalid_phone_number"}
    assert (said.column_name, said.constraint_name) == ("recipient", "invalid_phone_number")
    assert said.message_hint == "Nothing was stored, and the key is free: mend the field and call again."


@pytest.mark.parametrize("field", ["channel", "message", "to", "subject", "priority", "metadata"])
def test_null_is_no_value(client: Client, field: str) -> None:
    assert diagnosis(client, **{**SLACK, field: None}).constraint_name == "null"
    assert not Notification.objects.exists()


def test_null_means_left_out_for_times_keys_and_correlation(client: Client) -> None:
    nothing = dict.fromkeys(("send_at", "expires_at", "key", "correlation_id"))
    assert not call(by_django, client.name, **SLACK, **nothing).replayed


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        *(
            ("send_at", "infinity", "too_far"),
            ("send_at", "-infinity", "invalid"),
            ("send_at", "0044-03-15 BC", "invalid"),
        ),
        *(("expires_at", "infinity", "too_far"), ("expires_at", "-infinity", "in_the_past")),
        *(("expires_at", "10000-01-01 00:00:00+00", "too_far"), ("priority", "urgent", "invalid_choice")),
        *(("priority", "HIGH", "invalid_choice"), ("metadata", "[]", "invalid"), ("metadata", '"text"', "invalid")),
        *(("metadata", "null", "invalid"), ("metadata", "1", "invalid"), ("metadata", '{"a": 1e5000}', "max_length")),
    ],
)
def test_what_only_sql_can_say_is_refused(client: Client, field: str, value: str, code: str) -> None:
    said = diagnosis(client, **{**SLACK, field: value})
    assert (said.sqlstate, said.column_name, said.constraint_name) == ("NK001", field, code)


def test_a_refused_key_may_be_used_for_what_is_mended(client: Client) -> None:
    diagnosis(client, key="order:1", **{**SLACK, "channel": "pigeon"})
    assert not call(by_django, client.name, key="order:1", **SLACK).replayed


def test_ids_are_of_version_7_and_in_the_order_of_time(client: Client) -> None:
    before = time.time_ns() // 1_000_000
    ids = []
    for _ in range(5):
        ids.append(Sql().accept(client, **SLACK).id)
        time.sleep(0.002)  # two within a millisecond have no order
    after = time.time_ns() // 1_000_000

    assert ids == sorted(ids)
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, uuid.RFC_4122)}
    assert before <= ids[0].int >> 80 <= ids[-1].int >> 80 <= after


def test_it_notifies_nobody(client: Client) -> None:
    """NOTIFY takes a global lock at commit: every caller's transaction would wait for every other's."""
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {NOTIFY_CHANNEL}")
        try:
            call(by_django, client.name, **SLACK)
            assert list(connection.connection.notifies(timeout=0.2)) == []
        finally:
            cursor.execute("UNLISTEN *")


def test_a_database_that_knows_no_channel_yet_says_whom_to_ask(transactional_db: None) -> None:
    said = diagnosis(ClientFactory(), **SLACK)
    assert said.constraint_name == "unknown_channel"
    assert "publish_channels" in (said.message_primary or "")


def test_a_channel_without_a_provider_is_refused(client: Client, settings: Settings) -> None:
    sms = {**settings.NOTIFIER_CHANNELS["sms"], "auth_token": ""}
    settings.NOTIFIER_CHANNELS = {**settings.NOTIFIER_CHANNELS, "sms": sms}
    call_command("publish_channels", verbosity=0)

    with pytest.raises(Mend) as mend:
        Sql().accept(client, channel="sms", to="+14155552671", message="hello")
    assert (mend.value.field, mend.value.code) == ("channel", "channel_not_configured")


def test_a_worker_without_a_channels_settings_takes_nothing_away(client: Client, settings: Settings) -> None:
    sms = {**settings.NOTIFIER_CHANNELS["sms"], "auth_token": ""}
    settings.NOTIFIER_CHANNELS = {"sms": sms}
    channel_rules.publish()

    assert set(ChannelRules.objects.filter(configured=True).values_list("channel", flat=True)) == {
        "slack",
        "email",
        "sms",
        "apprise",
    }


def test_the_command_takes_away_what_the_settings_no_longer_know(client: Client, settings: Settings) -> None:
    settings.NOTIFIER_CHANNELS = {"slack": settings.NOTIFIER_CHANNELS["slack"]}
    call_command("publish_channels", verbosity=0)

    assert list(ChannelRules.objects.values_list("channel", flat=True)) == ["slack"]


def test_a_webhook_that_is_new_is_known_when_it_is_published(client: Client, settings: Settings) -> None:
    with pytest.raises(Mend):
        Sql().accept(client, **SLACK, to="new")
    slack = settings.NOTIFIER_CHANNELS["slack"]
    webhooks = {**slack["webhooks"], "new": "http://127.0.0.1:9/new"}
    settings.NOTIFIER_CHANNELS = {**settings.NOTIFIER_CHANNELS, "slack": {**slack, "webhooks": webhooks}}
    channel_rules.publish()

    assert Notification.objects.get(pk=Sql().accept(client, **SLACK, to="new").id).lane == "slack:new"


def test_the_only_webhook_is_the_default_one(client: Client, settings: Settings) -> None:
    slack = {**settings.NOTIFIER_CHANNELS["slack"], "webhooks": {"ops": "http://127.0.0.1:9/ops"}}
    settings.NOTIFIER_CHANNELS = {**settings.NOTIFIER_CHANNELS, "slack": slack}
    channel_rules.publish()

    for to in ("", "default", "ops"):
        assert Notification.objects.get(pk=Sql().accept(client, **SLACK, to=to).id).recipient == "ops"


def test_the_migration_can_be_taken_back_and_applied_again(client: Client) -> None:
    call_command("migrate", "notifications", BEFORE, verbosity=0)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'notifications_accept%%'")
            assert cursor.fetchone() == (0,)
    finally:
        call_command("migrate", "notifications", verbosity=0)
    channel_rules.publish()
    assert not Sql().accept(client, **SLACK).replayed


def test_the_version_is_that_of_the_contract(client: Client) -> None:
    assert by_django("SELECT notifications_accept_version()", []) == (1,)


def test_a_channel_whose_backend_has_told_no_rules_is_refused(client: Client, settings: Settings) -> None:
    backend = {"backend": "tests.integration.accepting.backends.WithoutRules"}
    settings.NOTIFIER_CHANNELS = {"slack": {**settings.NOTIFIER_CHANNELS["slack"], **backend}}
    channel_rules.publish()

    with pytest.raises(Mend) as mend:
        Sql().accept(client, **SLACK)
    assert (mend.value.field, mend.value.code) == ("channel", "channel_not_in_sql")


def test_the_channel_of_the_guide_is_known_to_sql_by_its_rules(
    client: Client, settings: Settings, ntfy: ModuleType
) -> None:
    push = {"backend": "channels.ntfy.Ntfy", "on_unknown": "resend", "batch": 20, "base_url": "http://127.0.0.1:9"}
    settings.NOTIFIER_CHANNELS = {"push": push}
    channel_rules.publish()

    for to, subject, message in (("a-_Z9" * 12, "s" * 250, "ü" * 2048), ("a/b", "", "m"), ("a" * 65, "", "m")):
        wanted = {"channel": "push", "to": to, "subject": subject, "message": message}
        told = []
        for face in (Sql(), InProcess()):
            try:
                told.append((stored(face.accept(client, **wanted).id), ""))
            except Mend as mend:
                told.append(({}, mend.code))
        assert told[0] == told[1]
        assert told[0][1] == ("" if len(to) == 60 else "invalid_topic")
