"""What is taken and what is shown: shapes only, the rules of each channel are its backend's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework import serializers

from notifications.api.fields import Metadata, Moment, StrictSerializer, Text
from notifications.models import Attempt, Notification
from notifications.services import NotificationRequest
from notifications.states import Priority, Status

LATEST = timedelta(days=366)  # a send that far ahead is a mistyped year
# A caller's clock may be off and its request may have waited in a queue: what is a little late is due now.
CLOCK_SKEW = timedelta(minutes=5)

PRIORITIES = [priority.name.lower() for priority in Priority]
STATUSES = [status.value for status in Status]


class Acceptable(StrictSerializer):
    """The base of the bodies that become a notification."""

    # How this body calls what the channel's backend calls `to`, for the field named in an error.
    names: ClassVar[Mapping[str, str]] = {}

    def wanted(self) -> NotificationRequest:
        """The request for the service; only after `is_valid`."""
        raise NotImplementedError


class NewNotification(Acceptable):
    channel = Text(help_text="slack, email or sms")
    to = Text(help_text="A named webhook, an email address, or a phone number in E.164")
    message = Text()
    subject = Text(default="", allow_blank=True, help_text="Email only")
    send_at = Moment(default=None, allow_null=True, help_text="Not before; at most a year ahead")
    expires_at = Moment(default=None, allow_null=True, help_text="Give up when not sent by then")
    priority = serializers.ChoiceField(PRIORITIES, default="normal")
    metadata = Metadata(default=dict)

    def validate_send_at(self, send_at: datetime | None) -> datetime | None:
        if send_at is not None and send_at < timezone.now() - CLOCK_SKEW:
            raise serializers.ValidationError("This is in the past.", code="past")
        return _within_a_year(send_at)

    def validate_expires_at(self, expires_at: datetime | None) -> datetime | None:
        if expires_at is not None and expires_at <= timezone.now():
            raise serializers.ValidationError("This is in the past.", code="past")
        return _within_a_year(expires_at)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["send_at"] and attrs["expires_at"] and attrs["expires_at"] <= attrs["send_at"]:
            raise serializers.ValidationError(
                {"expires_at": serializers.ErrorDetail("This must be after send_at.", code="before_send_at")}
            )
        return attrs

    def wanted(self) -> NotificationRequest:
        return NotificationRequest(**self.validated_data)


def _within_a_year(moment: datetime | None) -> datetime | None:
    if moment is not None and moment > timezone.now() + LATEST:
        raise serializers.ValidationError("This is more than a year ahead.", code="too_far")
    return moment


class NewSlackMessage(Acceptable):
    message = Text()

    def wanted(self) -> NotificationRequest:
        return NotificationRequest(channel="slack", to="default", message=self.validated_data["message"])


class NewMail(Acceptable):
    message = Text()
    send_to = Text(help_text="An email address")
    subject = Text()

    names = {"to": "send_to"}

    def wanted(self) -> NotificationRequest:
        mail = self.validated_data
        return NotificationRequest(
            channel="email", to=mail["send_to"], message=mail["message"], subject=mail["subject"]
        )


class NewSms(Acceptable):
    message = Text()
    send_to_number = Text(help_text="A phone number in E.164, such as +14155552671")

    names = {"to": "send_to_number"}

    def wanted(self) -> NotificationRequest:
        sms = self.validated_data
        return NotificationRequest(channel="sms", to=sms["send_to_number"], message=sms["message"])


class PageQuery(StrictSerializer):
    """The query of a list."""

    status = serializers.ChoiceField(STATUSES, required=False)
    channel = Text(required=False)
    correlation_id = Text(required=False)
    cursor = serializers.UUIDField(required=False, help_text="From `next`; do not make one")
    limit = serializers.IntegerField(default=50, min_value=1, max_value=200)


class AttemptRow(serializers.ModelSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = [
            "number",
            "started_at",
            "finished_at",
            "outcome",
            "code",
            "detail",
            "backend",
            "possible_duplicate",
        ]
