"""What is taken and what is shown. Shapes only: the rules are those of the channels and of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from notifications.api.fields import (
    UNKNOWN_FIELD,
    ChannelName,
    Metadata,
    Moment,
    OpenChannelName,
    StrictSerializer,
    Text,
)
from notifications.models import Attempt, Notification
from notifications.services import MOST_IN_BATCH, MOST_PROBLEMS, NOTIFICATIONS_PATH, NotificationRequest
from notifications.states import Priority, Status


def _choice(names: Sequence[str], **options: Any) -> serializers.ChoiceField:
    """One of a few names; the refusal lists them and does not repeat what was sent."""
    refusal = f"This must be one of {', '.join(names)}."
    return serializers.ChoiceField(names, error_messages={"invalid_choice": refusal}, **options)


PRIORITIES: Final = {priority.name.lower(): priority for priority in Priority}


class Acceptable(StrictSerializer):
    """The base of the bodies that become a notification."""

    # The channel of a body that has no such field, and how the body calls what the channels call `to`.
    of_channel: ClassVar[str] = ""
    names: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def read(cls, posted: Mapping[str, Any]) -> Any:
        """What the service is asked for. Raises: ValidationError."""
        values = cls.values(posted)
        for name, own in cls.names.items():
            values[name] = values.pop(own)
        if cls.of_channel:
            values["channel"] = cls.of_channel
        return NotificationRequest(**values)


class NewNotification(Acceptable):
    channel = OpenChannelName()
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
    priority = _choice(list(PRIORITIES), default="normal")
    metadata = Metadata(default=dict)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values = super().to_internal_value(data)
        values["priority"] = PRIORITIES[values["priority"]]
        return values


class NewBatch(Acceptable):
    """Up to a thousand under one key: all are accepted, or none."""

    notifications: Any = serializers.ListSerializer(child=NewNotification(), min_length=1, max_length=MOST_IN_BATCH)

    @classmethod
    def read(cls, posted: Mapping[str, Any]) -> list[NotificationRequest]:
        given = posted.get("notifications", [])
        if posted.keys() - {"notifications"} or not isinstance(given, list) or not 0 < len(given) <= MOST_IN_BATCH:
            raise ValidationError(cls._mended(posted, given))
        found: list[NotificationRequest] = []
        problems: dict[str, Any] = {}
        for place, each in enumerate(given):
            here = f"notifications[{place}]"
            if not isinstance(each, dict):
                problems[here] = [ErrorDetail("This must be an object.", code="invalid")]
                continue
            try:
                found.append(NewNotification.read(each))
            except ValidationError as error:
                detail = cast(dict[str, Any], error.detail)
                problems |= {f"{here}.{name}": why for name, why in detail.items()}
            if len(problems) >= MOST_PROBLEMS:
                break
        if problems:
            raise ValidationError(problems)
        return found

    @staticmethod
    def _mended(posted: Mapping[str, Any], given: object) -> dict[str, Any]:
        unknown = [name for name in posted if name != "notifications"]
        problems: dict[str, Any] = {name[:100]: [UNKNOWN_FIELD] for name in unknown[:20]}
        if "notifications" not in posted:
            problems["notifications"] = [ErrorDetail("This field is required.", code="required")]
        elif not isinstance(given, list):
            problems["notifications"] = [ErrorDetail("This must be a list.", code="invalid")]
        elif not 0 < len(given) <= MOST_IN_BATCH:
            words = f"This must be a list of 1 to {MOST_IN_BATCH} notifications."
            problems["notifications"] = [ErrorDetail(words, code="wrong_number")]
        return problems


class NewSlackMessage(Acceptable):
    of_channel = "slack"

    message = Text()


class NewMail(Acceptable):
    of_channel = "email"
    names = {"to": "send_to"}

    message = Text()
    send_to = Text(help_text="An email address.")
    subject = Text()


class NewSms(Acceptable):
    of_channel = "sms"
    names = {"to": "send_to_number"}

    message = Text()
    send_to_number = Text(help_text="A phone number in E.164, such as +14155552671.")


class Nothing(StrictSerializer):
    """An empty object."""


class NewTime(StrictSerializer):
    """When it is to be sent instead."""

    send_at = Moment(help_text="Not before this; at most a year ahead. What is past is now.")


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
