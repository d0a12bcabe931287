"""What is taken and what is shown. Shapes only: the rules are those of the channels and of the service."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Final, cast

from django.core.validators import RegexValidator
from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from channels.registry import channel_for
from notifications import content as content_of
from notifications.api import shapes
from notifications.api.fields import (
    UNKNOWN_FIELD,
    Anything,
    Cursor,
    KnownChannel,
    Labels,
    Metadata,
    Moment,
    OpenChannelName,
    StrictSerializer,
    Text,
    Whole,
)
from notifications.api.templated import WRITTEN, ByTemplate
from notifications.intake import METADATA_LIMIT
from notifications.models import Attempt, Notification
from notifications.selectors import Wanted
from notifications.services import (
    MOST_IN_BATCH,
    MOST_PROBLEMS,
    MOST_RESENT,
    NOTIFICATIONS_PATH,
    NotificationRequest,
)
from notifications.states import Priority, Status
from notifications.timeline import Entry, Next, next_step, timeline


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
    # What a body has at its top that is the channel's content.
    in_content: ClassVar[Sequence[str]] = ()
    # Fields that are others where a template writes the texts.
    beside_template: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def read(cls, posted: Mapping[str, Any]) -> Any:
        """What the service is asked for. Raises: ValidationError."""
        values = (templated(cls) if "template" in posted else cls).values(posted)
        for name, own in cls.names.items():
            values[name] = values.pop(own)
        if cls.of_channel:
            values["channel"] = cls.of_channel
        if cls.in_content and not values.keys().isdisjoint(cls.in_content):
            values["content"] = {name: values.pop(name) for name in cls.in_content if name in values}
        return NotificationRequest(**values)

    @classmethod
    def named(cls, field: str) -> str:
        """What the body calls a field of the request."""
        inner = field.removeprefix("content.")
        return inner if cls.in_content and inner != field else cls.names.get(field, field)


@cache
def templated(body: type[Acceptable]) -> type[Acceptable]:
    """The same body, with a template in the place of its texts."""
    # A field that is None is none: DRF's way to leave one out.
    fields = {**dict.fromkeys(WRITTEN), **body.beside_template}
    return type(
        f"Templated{body.__name__}", (ByTemplate, body), {"__doc__": f"{body.__doc__} A template writes it.", **fields}
    )


class NewNotification(Acceptable):
    """Over any channel; what each of them asks for is its own."""

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
    expires_at = Moment(
        default=None, allow_null=True, help_text="Never sent after this; in the future, and after send_at."
    )
    priority = _choice(list(PRIORITIES), default="normal")
    metadata = Metadata(default=dict, help_text=f"Your own labels; {METADATA_LIMIT} bytes at most, as JSON.")
    content = Anything(dict, required=False, help_text="What there is beyond the text, in the channel's own terms.")

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
    """To the default webhook."""

    of_channel = "slack"
    in_content = ("blocks", "attachments")

    message = Text(help_text="Beside blocks, it is what is shown where these are not.", shape=shapes.SLACK_MESSAGE)
    blocks = Anything(required=False, help_text="Block Kit's, as Slack documents them.", shape=shapes.SLACK_BLOCKS)
    attachments = Anything(required=False, help_text="Slack's own.", shape=shapes.SLACK_ATTACHMENTS)


class NewMail(Acceptable):
    """To one recipient."""

    of_channel = "email"
    names = {"to": "send_to"}
    in_content = ("html", "reply_to", "headers", "attachments")

    message = Text(help_text="The limit is in bytes of UTF-8.", shape=shapes.MAIL_MESSAGE)
    send_to = Text(help_text="One bare address.", shape=shapes.EMAIL)
    subject = Text(shape=shapes.SUBJECT)
    html = Anything(required=False, help_text="Beside the text. The limit is in bytes of UTF-8.", shape=shapes.HTML)
    reply_to = Anything(required=False, help_text="One bare address, or several.", shape=shapes.REPLY_TO)
    headers = Anything(required=False, help_text=shapes.ABOUT_HEADERS, shape=shapes.HEADERS)
    attachments = Anything(required=False, help_text=shapes.ABOUT_FILES, shape=shapes.FILES)


class NewSms(Acceptable):
    """To one number."""

    of_channel = "sms"
    names = {"to": "send_to_number"}

    message = Text(shape=shapes.SMS_MESSAGE)
    send_to_number = Text(help_text="A phone number in E.164, such as +14155552671.", shape=shapes.E164)


class Nothing(StrictSerializer):
    """An empty object."""


class NewTime(StrictSerializer):
    """When it is to be sent instead."""

    send_at = Moment(help_text="Not before this; at most a year ahead. What is past is now.")


class Chosen(StrictSerializer):
    """Which of its notifications a client means; what is left out narrows nothing."""

    channel = KnownChannel(required=False)
    to = Text(
        required=False,
        max_length=shapes.LONGEST_RECIPIENT,
        shape=shapes.RECIPIENT,
        help_text="The recipient, as answers show it.",
    )
    correlation_id = Text(
        required=False, validators=[RegexValidator(r"^[!-~]{1,128}\Z", code="invalid")], shape=shapes.TRACE
    )
    metadata = Labels(required=False, help_text="Entries that it was accepted with, all of them.")
    since = Moment(required=False, help_text="Accepted then or later.")
    until = Moment(required=False, help_text="Accepted before.")

    @staticmethod
    def wanted(values: dict[str, Any]) -> Wanted:
        """What is said in all but `cursor` and `limit`, which are taken out of the values first."""
        status = values.pop("status", None)
        statuses = frozenset() if status is None else frozenset({status})
        return Wanted(statuses=statuses, recipient=values.pop("to", None), **values)


class PageQuery(Chosen):
    """The query of a list."""

    status = _choice([status.value for status in Status], required=False)
    cursor = Cursor(required=False, help_text="From a page's `next`.")
    limit = serializers.IntegerField(default=50, min_value=1, max_value=200)

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """Raises: ValidationError, naming every parameter to mend."""
        given: dict[str, Any] = {}
        for name, values in query.lists():
            label = _LABEL.fullmatch(name)
            if len(values) > 1:
                raise ValidationError({name[:100]: [ErrorDetail("This is given more than once.", code="repeated")]})
            if label:
                given.setdefault("metadata", {})[label[1]] = values[0]
            else:
                given[name] = values[0] if name != "metadata" else None  # only as metadata[key]=value
        return cls.values(given)


_LABEL: Final = re.compile(r"metadata\[(.+)\]", re.DOTALL)


class BulkResend(Chosen):
    """Which are to be sent again: those that failed, or those that are unknown, for these may arrive twice."""

    status = _choice([Status.FAILED.value, Status.UNKNOWN.value], default=Status.FAILED.value)
    cursor = Cursor(required=False, help_text="The `next_cursor` of the answer before.")
    limit = Whole(default=MOST_RESENT, min_value=1, max_value=MOST_RESENT)


class Resent(serializers.Serializer[Any]):
    """What was sent again, and where to go on."""

    resent: Any = serializers.ListSerializer(child=serializers.UUIDField())
    next_cursor = serializers.UUIDField(allow_null=True, help_text="To go on with; null where all were looked at.")


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
    test = serializers.BooleanField(source="is_test", help_text="Whether it is delivered to the sandbox only.")
    redacted_at = serializers.DateTimeField(
        allow_null=True,
        help_text="Since when its recipient and content are gone, and empty here; null where they are not.",
    )

    class Meta:
        model = Notification
        fields = [
            *("id", "channel", "to", "status", "created_at", "idempotency_key", "links"),
            *("subject", "priority", "due_at", "expires_at", "finished_at", "attempt", "error_code"),
            *("provider_id", "possible_duplicate", "correlation_id", "metadata", "test", "redacted_at"),
        ]

    def get_priority(self, row: Notification) -> str:
        return Priority(row.priority).name.lower()

    def get_idempotency_key(self, row: Notification) -> str | None:
        return row.idempotency_key or None

    def get_links(self, row: Notification) -> dict[str, str]:
        return {"self": f"{NOTIFICATIONS_PATH}/{row.id}"}


class TimelineEntry(serializers.Serializer[Entry]):
    """One thing that happened to it, or is happening."""

    at = Moment()
    event = serializers.CharField(
        help_text="accepted, attempt, wait, receipt, replayed, released, rescheduled, canceled, expired or redacted"
    )
    attempt = serializers.IntegerField(allow_null=True)
    outcome = serializers.CharField(help_text="What came of an attempt, or what a receipt says.")
    until = Moment(allow_null=True, help_text="When an attempt or a wait ended, or will.")
    code = serializers.CharField(help_text="The provider's own.")
    detail = serializers.CharField(help_text="Why, in words.")
    by = serializers.CharField(help_text="The backend of an attempt; who did what was done by hand.")
    late_outcome = serializers.CharField(help_text="What came of an attempt after all.")
    possible_duplicate = serializers.BooleanField()


class WhatComesNext(serializers.Serializer[Next]):
    what = serializers.CharField()
    at = Moment(allow_null=True)


class NotificationDetail(NotificationRow):
    """One notification with its attempts, its whole story, and what happens next."""

    message = serializers.CharField(source="body")
    content = serializers.SerializerMethodField(
        help_text="What there is beyond the text; of files their digest (SHA-256) and size instead of their bytes."
    )
    template = serializers.CharField(
        allow_null=True, help_text="The template and the version that wrote it: `order-shipped@3`."
    )
    attempts = AttemptRow(many=True)
    measures = serializers.SerializerMethodField(
        help_text="What else there is to know of the text: of an SMS its `encoding` and its `segments`, each of which "
        "is paid for; of others nothing."
    )
    timeline = serializers.SerializerMethodField()
    next = serializers.SerializerMethodField()

    class Meta(NotificationRow.Meta):
        fields = [
            *NotificationRow.Meta.fields,
            *("message", "content", "template", "measures", "attempts", "timeline", "next"),
        ]

    def get_content(self, row: Notification) -> dict[str, Any]:
        return content_of.shown(row.content)

    @extend_schema_field(shapes.MEASURES)
    def get_measures(self, row: Notification) -> Any:
        known = channel_for(row.lane)
        return {} if known is None or row.redacted_at is not None else known.backend.measure(row.body)

    @extend_schema_field(TimelineEntry(many=True))
    def get_timeline(self, row: Notification) -> Any:
        return [TimelineEntry(entry).data for entry in timeline(row, list(row.attempts.all()))]

    @extend_schema_field(WhatComesNext)
    def get_next(self, row: Notification) -> Any:
        return WhatComesNext(next_step(row)).data
