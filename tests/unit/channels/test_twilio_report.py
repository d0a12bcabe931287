"""Twilio's status callbacks: whose they are, and how far the message has come."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from channels.contract import DeliveryReport, Forged, Progress, Refused
from channels.slack import SlackWebhook
from channels.twilio_sms import TwilioSms

TOKEN = "12345"
URL = "https://notify.example.com/receipts/sms/1?attempt=2"
SID = "SM" + "a" * 32


def signed(fields: dict[str, str], *, token: str = TOKEN, url: str = URL) -> dict[str, str]:
    """By the rule, not by the library: https://www.twilio.com/docs/usage/security#validating-requests"""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return {"X-Twilio-Signature": base64.b64encode(digest).decode()}


def report(fields: dict[str, str], headers: dict[str, str] | None = None, token: str = TOKEN) -> DeliveryReport:
    backend = TwilioSms(account_sid="AC" + "0" * 32, auth_token=token, from_number="+15005550006")
    return backend.read_report(url=URL, fields=fields, headers=signed(fields) if headers is None else headers)


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        ("accepted", Progress.TAKEN),
        ("queued", Progress.TAKEN),
        ("sending", Progress.TAKEN),
        ("sent", Progress.TAKEN),
        ("a status of tomorrow", Progress.TAKEN),
        ("delivered", Progress.DELIVERED),
        ("read", Progress.DELIVERED),
        ("undelivered", Progress.UNDELIVERED),
        ("failed", Progress.UNDELIVERED),
    ],
)
def test_a_status_says_how_far_the_message_has_come(status: str, progress: Progress) -> None:
    assert report({"MessageSid": SID, "MessageStatus": status}).progress is progress


@pytest.mark.parametrize("code", ["30003", "30004", "30005", "30006", "30007", "30008"])
def test_what_was_not_delivered_tells_twilios_code(code: str) -> None:
    fields = {"MessageSid": SID, "MessageStatus": "undelivered", "ErrorCode": code}
    assert report(fields) == DeliveryReport(provider_id=SID, progress=Progress.UNDELIVERED, code=code)


def test_who_opted_out_after_all_is_told_with_the_code() -> None:
    fields = {"MessageSid": SID, "MessageStatus": "undelivered", "ErrorCode": "21610"}
    assert (report(fields).code, report(fields).refuses) == ("21610", Refused.OPTED_OUT)


def test_a_code_beside_a_message_on_its_way_refuses_nobody() -> None:
    assert report({"MessageSid": SID, "MessageStatus": "sent", "ErrorCode": "21610"}).refuses is Refused.MESSAGE


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": "nonsense"},
        signed({"MessageSid": SID, "MessageStatus": "sent"}),
        signed({"MessageSid": SID, "MessageStatus": "delivered"}, token="other"),
        signed({"MessageSid": SID, "MessageStatus": "delivered"}, url="https://elsewhere.example.com/"),
    ],
)
def test_a_report_that_twilio_did_not_sign_is_forged(headers: dict[str, str]) -> None:
    with pytest.raises(Forged):
        report({"MessageSid": SID, "MessageStatus": "delivered"}, headers)


def test_without_a_token_every_report_is_forged() -> None:
    fields = {"MessageSid": SID, "MessageStatus": "delivered"}
    with pytest.raises(Forged):
        report(fields, signed(fields, token=""), token="")


def test_a_provider_without_reports_takes_none() -> None:
    with pytest.raises(Forged):
        SlackWebhook({}).read_report(url=URL, fields={}, headers={})
