"""What is taken and what is shown. Shapes only: the rules are those of the channels and of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rest_framework import serializers

from notifications.api.fields import ChannelName, Metadata, Moment, StrictSerializer, Text
from notifications.models import Attempt, Notification
from notifications.services import NOTIFICATIONS_PATH, NotificationRequest
from notifications.states import Priority, Status


def _choice(names: Sequence[str], **options: Any) -> serializers.ChoiceField:
    """One of a few names; the refusal lists them and does not repeat what was sent."""
    refusal = f"This must be one of {', '.join(names)}."
    return serializers.ChoiceField(names, error_messages={"invalid_choice": refusal}, **options)


class Acceptable(StrictSerializer):
    """The base of the bodies that become a notification."""

    # How this body calls what the channels call `to`, for the field named in an error.
    names: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def read(cls, posted: Mapping[str, Any]) -> NotificationRequest:
        """The request for the service. Raises: ValidationError."""
        return cls.wanted(cls.values(posted))

    @staticmethod
    def wanted(values: Mapping[str, Any]) -> NotificationRequest:
        raise NotImplementedError


class NewNotification(Acceptable):
    channel = ChannelName()
    to = Text(
        default="",
        allow_blank=True,
        help_text="An email address, a phone number in E.164, or a named Slack webhook "
        "(`default`, or the only one, where it is left out).",
    )
    message = Text()
    subject = Text(default="", allow_blank=True, help_text="Email only.")
    send_at = Moment(default=None, allow_null=True, help_text="Not before this; at most a year ahead.")
    expires_at = Moment(default=None, allow_null=True, help_text="Never sent after this.")
    priority = _choice([priority.name.lower() for priority in Priority], default="normal")
    metadata = Metadata(default=dict)

    @staticmethod
    def wanted(values: Mapping[str, Any]) -> NotificationRequest:
        return NotificationRequest(**{**values, "priority": Priority[values["priority"].upper()]})


class NewSlackMessage(Acceptable):
    message = Text()

    @staticmethod
    def wanted(values: Mapping[str, Any]) -> NotificationRequest:
        return NotificationRequest(channel="slack", message=values["message"])


class NewMail(Acceptable):
    message = Text()
    send_to = Text(help_text="An email address.")
    subject = Text()

    names = {"to": "send_to"}

    @staticmethod
    def wanted(values: Mapping[str, Any]) -> NotificationRequest:
        return NotificationRequest(
            channel="email", to=values["send_to"], message=values["message"], subject=values["subject"]
        )


class NewSms(Acceptable):
    message = Text()
    send_to_number = Text(help_text="A phone number in E.164, such as +14155552671.")

    names = {"to": "send_to_number"}

    @staticmethod
    def wanted(values: Mapping[str, Any]) -> NotificationRequest:
        return NotificationRequest(channel="sms", to=values["send_to_number"], message=values["message"])


class PageQuery(StrictSerializer):
    """The query of a list."""

    status = _choice([status.value for status in Status], required=False)
    channel = ChannelName(required=False)
    correlation_id = serializers.RegexField(r"^[!-~]{1,128}$", required=False)
    cursor = serializers.UUIDField(required=False, help_text="From a page's `next`.")
    limit = serializers.IntegerField(default=50, min_value=1, max_value=200)


class AttemptRow(serializers.ModelSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = [
            *("number", "started_at", "finished_at", "outcome", "code", "detail", "backend"),
            "possible_duplicate",
        ]


class NotificationRow(serializers.ModelSerializer[Notification]):
    """A notification in a list."""

    to = serializers.CharField(source="recipient")
    priority = serializers.SerializerMethodField()
    idempotency_key = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()

    class Meta:
        model = Notification
        fields = [
            *("id", "channel", "to", "status", "created_at", "idempotency_key", "links"),
            *("subject", "priority", "due_at", "expires_at", "finished_at", "attempt", "error_code"),
            *("provider_id", "possible_duplicate", "correlation_id", "metadata"),
        ]

    def get_priority(self, row: Notification) -> str:
        return Priority(row.priority).name.lower()

    def get_idempotency_key(self, row: Notification) -> str | None:
        return row.idempotency_key or None

    def get_links(self, row: Notification) -> dict[str, str]:
        return {"self": f"{NOTIFICATIONS_PATH}/{row.id}"}


class NotificationDetail(NotificationRow):
    """One notification with its attempts: the timeline."""

    message = serializers.CharField(source="body")
    attempts = AttemptRow(many=True)

    class Meta(NotificationRow.Meta):
        fields = [*NotificationRow.Meta.fields, "message", "attempts"]
