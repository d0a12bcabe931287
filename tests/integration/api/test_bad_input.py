from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from notifications.models import Notification

from .callers import SMS, Caller

SLACK = {"channel": "slack", "message": "hello"}


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def faults(caller: Caller, path: str, body: object) -> dict[str, str]:
    """Post, expect a 400 and nothing stored, and return the code of each field."""
    answer = caller.post(path, body)
    assert answer.status_code == 400, answer.content
    problem = json.loads(answer.content)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["code"] == "invalid"
    assert all(error["detail"] for error in problem["errors"])
    assert not Notification.objects.exists()
    return {error["field"]: error["code"] for error in problem["errors"]}


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("/api/v1/slack", {"message"}),
        ("/api/v1/mail", {"message", "send_to", "subject"}),
        ("/api/v1/sms", {"message", "send_to_number"}),
        ("/api/v1/notifications", {"channel", "message"}),
    ],
)
def test_every_missing_field_is_named(caller: Caller, path: str, missing: set[str]) -> None:
    assert faults(caller, path, {}) == dict.fromkeys(missing, "required")


def test_a_misspelt_field_is_named(caller: Caller) -> None:
    assert faults(caller, "/api/v1/slack", {"messsage": "hello"}) == {
        "message": "required",
        "messsage": "unknown_field",
    }


def test_an_unknown_field_is_refused_beside_good_ones(caller: Caller) -> None:
    assert faults(caller, "/api/v1/sms", {**SMS, "colour": "red"}) == {"colour": "unknown_field"}


@pytest.mark.parametrize("value", [1, 1.5, True, ["hello"], {"a": 1}])
@pytest.mark.parametrize("field", ["message", "send_to_number"])
def test_nothing_is_made_a_string_that_is_none(caller: Caller, field: str, value: object) -> None:
    assert faults(caller, "/api/v1/sms", {**SMS, field: value}) == {field: "invalid"}


@pytest.mark.parametrize("field", ["message", "send_to_number"])
def test_null_is_no_string(caller: Caller, field: str) -> None:
    assert faults(caller, "/api/v1/sms", {**SMS, field: None}) == {field: "null"}


@pytest.mark.parametrize("blank", ["", "   ", "\n\t"])
def test_a_blank_message_is_refused(caller: Caller, blank: str) -> None:
    assert faults(caller, "/api/v1/slack", {"message": blank}) == {"message": "blank"}


def test_an_unknown_channel_is_refused(caller: Caller) -> None:
    assert faults(caller, "/api/v1/notifications", {**SLACK, "channel": "pigeon"}) == {"channel": "unknown_channel"}


def test_a_channel_without_a_provider_is_refused(caller: Caller, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {
        **known,
        "sms": {**known["sms"], "account_sid": "", "auth_token": "", "from_number": ""},
    }

    assert set(faults(caller, "/api/v1/sms", SMS)) == {"channel"}


def test_the_channel_of_further_destinations_is_refused_where_there_are_none(caller: Caller) -> None:
    asked = {"channel": "apprise", "to": "phone", "message": "hello"}
    assert faults(caller, "/api/v1/notifications", asked) == {"channel": "channel_not_configured"}


def test_an_unknown_webhook_is_refused(caller: Caller) -> None:
    assert set(faults(caller, "/api/v1/notifications", {**SLACK, "to": "nobody"})) == {"to"}


@pytest.mark.parametrize("number", ["4155552671", "+1", "+1415555267x", "+999999999999999", "tel:+14155552671"])
def test_a_number_that_is_not_e164_is_refused_by_the_endpoints_own_name(caller: Caller, number: str) -> None:
    assert set(faults(caller, "/api/v1/sms", {**SMS, "send_to_number": number})) == {"send_to_number"}


@pytest.mark.parametrize(
    "address", ["ann", "ann@", "@example.com", "ann@example.com, bob@example.com", "a b@example.com"]
)
def test_a_bad_address_is_refused_by_the_endpoints_own_name(caller: Caller, address: str) -> None:
    mail = {"message": "hello", "subject": "Hi", "send_to": address}
    assert set(faults(caller, "/api/v1/mail", mail)) == {"send_to"}


@pytest.mark.parametrize("subject", ["Hi\nBcc: all@example.com", "Hi\r\nX: y", "Hi\r"])
def test_a_newline_in_a_subject_is_refused(caller: Caller, subject: str) -> None:
    mail = {"message": "hello", "send_to": "ann@example.com", "subject": subject}
    assert set(faults(caller, "/api/v1/mail", mail)) == {"subject"}


@pytest.mark.parametrize("field", ["send_at", "expires_at"])
@pytest.mark.parametrize(
    "time",
    [
        *("2030-01-31T09:30:00", "2030-01-31", "tomorrow", "2030-02-30T09:30:00Z", "2030-01-31T25:00:00Z", ""),
        *("2030-01-31T09:30:00+0100", "0001-01-01T00:00:00+10:00", 1893490200, True, ["2030-01-31T09:30:00Z"]),
    ],
)
def test_a_time_that_is_not_rfc_3339_with_an_offset_is_refused(caller: Caller, field: str, time: object) -> None:
    assert faults(caller, "/api/v1/notifications", {**SLACK, field: time}) == {field: "invalid"}


def test_a_send_more_than_a_year_ahead_is_refused(caller: Caller) -> None:
    assert set(faults(caller, "/api/v1/notifications", {**SLACK, "send_at": in_days(400)})) == {"send_at"}


def test_an_end_in_the_past_is_refused(caller: Caller) -> None:
    assert set(faults(caller, "/api/v1/notifications", {**SLACK, "expires_at": in_days(-1)})) == {"expires_at"}


def test_an_end_before_the_beginning_is_refused(caller: Caller) -> None:
    body = {**SLACK, "send_at": in_days(2), "expires_at": in_days(1)}
    assert set(faults(caller, "/api/v1/notifications", body)) == {"expires_at"}


@pytest.mark.parametrize("priority", ["urgent", "HIGH", "", 1, None, ["high"]])
def test_an_unknown_priority_is_refused(caller: Caller, priority: object) -> None:
    assert set(faults(caller, "/api/v1/notifications", {**SLACK, "priority": priority})) == {"priority"}


@pytest.mark.parametrize(
    "metadata", ["text", 1, None, ["a"], {"a": None}, {"a": True}, {"a": {"b": "c"}}, {"a": ["b"]}, {"a": "x" * 4096}]
)
def test_metadata_is_a_small_flat_object(caller: Caller, metadata: object) -> None:
    assert set(faults(caller, "/api/v1/notifications", {**SLACK, "metadata": metadata})) == {"metadata"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"message": "a", "message": "b"}',
        b'{"message": NaN}',
        b'{"message": "\\u0000"}',
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(caller: Caller, raw: bytes) -> None:
    answer = caller.post("/api/v1/slack", raw)

    assert answer.status_code == 400
    assert json.loads(answer.content)["code"] == "malformed_json"


def test_a_deeply_nested_body_is_malformed_and_no_panic(caller: Caller) -> None:
    answer = caller.post("/api/v1/slack", b'{"message":' + b"[" * 200_000 + b"]" * 200_000 + b"}")

    assert answer.status_code == 400
    assert json.loads(answer.content)["code"] == "malformed_json"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", ""],
)
def test_another_media_type_is_unsupported(caller: Caller, content_type: str) -> None:
    answer = caller.post("/api/v1/slack", b'{"message": "hello"}', content_type=content_type)

    assert answer.status_code == 415
    assert json.loads(answer.content)["code"] == "unsupported_media_type"
    assert not Notification.objects.exists()


def test_a_body_over_the_limit_is_too_large(caller: Caller, settings: Settings) -> None:
    answer = caller.post("/api/v1/slack", {"message": "x" * settings.REQUEST_BODY_LIMIT})

    assert answer.status_code == 413
    assert json.loads(answer.content)["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/sms", {"message": "a secret", "send_to_number": "+1999secret", "extra": "a secret"}),
        ("/api/v1/mail", {"message": "a secret", "send_to": "secret", "subject": "secret\n"}),
        ("/api/v1/notifications", {**SLACK, "to": "secret", "priority": "secret", "send_at": "secret"}),
        ("/api/v1/notifications", {**SLACK, "channel": "secret", "metadata": {"secret": None}}),
    ],
)
def test_the_refusal_repeats_no_value(caller: Caller, path: str, body: dict[str, Any]) -> None:
    assert b"secret" not in caller.post(path, body).content


def test_a_text_message_of_more_segments_than_allowed_is_refused(caller: Caller, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "max_segments": 1}}

    assert faults(caller, "/api/v1/sms", {**SMS, "message": "a" * 161}) == {"message": "too_many_segments"}
    assert caller.post("/api/v1/sms", {**SMS, "message": "a" * 160}).status_code == 202
