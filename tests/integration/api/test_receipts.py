from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.test import Client as Browser
from pytest_django.fixtures import Settings
from twilio.request_validator import RequestValidator

from notifications.models import Notification, Receipt, Suppression
from tests.factories import AttemptFactory, NotificationFactory

pytestmark = pytest.mark.django_db

PUBLIC = "https://notify.example.com"
TOKEN = "t" * 32  # as the channels of these tests are configured


@pytest.fixture(autouse=True)
def public_url(settings: Settings) -> None:
    settings.PUBLIC_URL = PUBLIC


def reported(id_: UUID, *, head: str = "sms", token: str = TOKEN, attempt: int = 1, **fields: str) -> int:
    fields = {"MessageSid": f"SM{'1' * 32}", "AccountSid": f"AC{'0' * 32}", "ErrorMessage": "", **fields}
    path = f"/api/v1/receipts/{head}/{id_}/{attempt}"
    signature = RequestValidator(token).compute_signature(PUBLIC + path, fields)
    answer = Browser().post(path, urlencode(fields), headers={"X-Twilio-Signature": signature}, content_type=FORM)
    return answer.status_code


FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def sent() -> Notification:
    notification = NotificationFactory(channel="sms", status="sent")
    AttemptFactory(notification=notification, outcome="accepted")
    return notification


def status(notification: Notification) -> tuple[str, str]:
    notification.refresh_from_db()
    return notification.status, notification.error_code


def test_delivered_is_applied(sent: Notification) -> None:
    assert reported(sent.id, MessageStatus="delivered") == 204
    assert status(sent) == ("delivered", "")


def test_undelivered_fails_with_the_providers_code(sent: Notification) -> None:
    assert reported(sent.id, MessageStatus="undelivered", ErrorCode="30003") == 204
    assert status(sent) == ("failed", "30003")


def test_a_status_on_the_way_changes_nothing(sent: Notification) -> None:
    assert reported(sent.id, MessageStatus="queued") == 204
    assert status(sent)[0] == "sent"


def test_a_wrong_signature_is_refused_and_nothing_is_stored(sent: Notification) -> None:
    assert reported(sent.id, token="another", MessageStatus="failed") == 403
    assert (status(sent)[0], Receipt.objects.count()) == ("sent", 0)


def test_a_missing_signature_is_refused(sent: Notification) -> None:
    answer = Browser().post(f"/api/v1/receipts/sms/{sent.id}/1", {"MessageStatus": "failed"})

    assert answer.status_code in {403, 415}
    assert status(sent)[0] == "sent"


def test_a_signature_for_another_notification_is_refused(sent: Notification) -> None:
    other = NotificationFactory(channel="sms", status="sent")
    fields = {"MessageSid": f"SM{'1' * 32}", "MessageStatus": "failed"}
    signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/api/v1/receipts/sms/{other.id}/1", fields)

    answer = Browser().post(
        f"/api/v1/receipts/sms/{sent.id}/1",
        urlencode(fields),
        headers={"X-Twilio-Signature": signature},
        content_type=FORM,
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "forged_receipt")


def test_a_channel_without_reports_and_an_unknown_one_are_refused(sent: Notification) -> None:
    assert Browser().post(f"/api/v1/receipts/slack/{sent.id}/1", "", content_type=FORM).status_code == 403
    assert Browser().post(f"/api/v1/receipts/pigeon/{sent.id}/1", "", content_type=FORM).status_code == 404


def test_a_late_opt_out_suppresses_the_recipient(sent: Notification) -> None:
    for _ in range(2):
        assert reported(sent.id, MessageStatus="undelivered", ErrorCode="21610") == 204

    assert status(sent) == ("failed", "21610")
    (row,) = Suppression.objects.all()
    assert (row.channel, row.recipient, row.test) == ("sms", sent.recipient, False)
    assert (row.reason, row.source, row.created_by) == ("opt_out", "21610", "twilio_sms")
    assert row.notification_id == sent.id


@pytest.mark.parametrize(("told", "code"), [("undelivered", "30003"), ("sent", "21610")])
def test_what_says_no_to_this_message_alone_suppresses_nobody(sent: Notification, told: str, code: str) -> None:
    assert reported(sent.id, MessageStatus=told, ErrorCode=code) == 204
    assert not Suppression.objects.exists()


def test_a_forged_opt_out_and_one_of_another_channels_notification_suppress_nobody(sent: Notification) -> None:
    mail = NotificationFactory(channel="email", status="sent")
    assert reported(sent.id, token="another", MessageStatus="undelivered", ErrorCode="21610") == 403
    assert reported(mail.id, MessageStatus="undelivered", ErrorCode="21610") == 204
    assert reported(UUID(int=7), MessageStatus="undelivered", ErrorCode="21610") == 204
    assert not Suppression.objects.exists()


@pytest.fixture
def spare(settings: Settings) -> str:
    """The token of a second provider's account."""
    token = "s" * 32
    known = settings.NOTIFIER_CHANNELS
    backup = {**known["sms"], "name": "spare", "backend": "channels.twilio_sms.TwilioSms", "auth_token": token}
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "backups": [backup]}}
    return token


def test_what_a_backup_reports_is_read_by_it(sent: Notification, spare: str) -> None:
    assert reported(sent.id, head="sms@spare", token=TOKEN, MessageStatus="delivered") == 403
    assert reported(sent.id, head="sms", token=spare, MessageStatus="delivered") == 403
    assert status(sent)[0] == "sent"

    assert reported(sent.id, head="sms@spare", token=spare, MessageStatus="delivered") == 204
    assert status(sent)[0] == "delivered"


@pytest.mark.parametrize("head", ["sms@gone", "sms:ops", "~test:sms", "@spare"])
def test_no_other_lane_passes_for_a_backend(sent: Notification, spare: str, settings: Settings, head: str) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "sandbox": known["sms"]}}

    assert reported(sent.id, head=head, token=TOKEN, MessageStatus="delivered") == 404
    assert status(sent)[0] == "sent"
