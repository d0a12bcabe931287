"""The bodies of `POST /notifications` by channel, as the schema tells them; NewNotification reads them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import PolymorphicProxySerializer

from channels.registry import open_channels
from notifications.api import shapes
from notifications.api.fields import Anything, OpenChannelName, Text
from notifications.api.serializers import Acceptable, NewNotification, templated
from notifications.services import MOST_IN_BATCH

ABOUT_MAIL: Final = f"{shapes.ABOUT_HEADERS} {shapes.ABOUT_FILES}"


class SlackNotification(NewNotification):
    """A post to a Slack webhook."""

    channel = OpenChannelName(shape={"type": "string", "const": "slack"})
    to = Text(
        default="",
        allow_blank=True,
        help_text="The name of a Slack webhook of this service; `default`, or the only one, where it is left out.",
        shape=shapes.WEBHOOK,
    )
    message = Text(shape=shapes.SLACK_MESSAGE)
    subject = Text(default="", allow_blank=True, help_text="Slack has none.", shape=shapes.NO_SUBJECT)
    content = Anything(dict, required=False, help_text="As Slack documents them.", shape=shapes.SLACK_CONTENT)


class EmailNotification(NewNotification):
    """An email to one recipient."""

    channel = OpenChannelName(shape={"type": "string", "const": "email"})
    to = Text(help_text="One bare address.", shape=shapes.EMAIL)
    message = Text(help_text="The limit is in bytes of UTF-8.", shape=shapes.MAIL_MESSAGE)
    subject = Text(shape=shapes.SUBJECT)
    content = Anything(dict, required=False, help_text=ABOUT_MAIL, shape=shapes.MAIL_CONTENT)
    beside_template: ClassVar = {
        "content": Anything(dict, required=False, help_text=ABOUT_MAIL, shape=shapes.MAIL_CONTENT_BESIDE_TEMPLATE)
    }


class SmsNotification(NewNotification):
    """A text message to one number."""

    channel = OpenChannelName(shape={"type": "string", "const": "sms"})
    to = Text(help_text="A phone number in E.164, as long as its country has them.", shape=shapes.E164)
    message = Text(shape=shapes.SMS_MESSAGE)
    subject = Text(default="", allow_blank=True, help_text="SMS has none.", shape=shapes.NO_SUBJECT)
    content = Anything(dict, required=False, help_text="SMS has none.", shape=shapes.NO_CONTENT)


class AppriseNotification(NewNotification):
    """A message to one of the service's further destinations."""

    channel = OpenChannelName(shape={"type": "string", "const": "apprise"})
    to = Text(
        default="",
        allow_blank=True,
        help_text="The name of a destination of this service; `default`, or the only one, where it is left out.",
        shape=shapes.DESTINATION,
    )
    message = Text(shape=shapes.APPRISE_MESSAGE)
    subject = Text(default="", allow_blank=True, help_text="The title, if any.", shape=shapes.TITLE)
    content = Anything(dict, required=False, help_text="There is none.", shape=shapes.NO_CONTENT)


VARIANTS: Mapping[str, type[NewNotification]] = {
    "slack": SlackNotification,
    "email": EmailNotification,
    "sms": SmsNotification,
    "apprise": AppriseNotification,
}


def _variant(channel: str) -> type[NewNotification]:
    """What is known of a channel that somebody added: its name."""
    name = f"{channel.title().replace('_', '').replace('-', '')}Notification"
    return type(name, (NewNotification,), {"channel": OpenChannelName(shape={"type": "string", "const": channel})})


def either(body: type[Acceptable]) -> Any:
    """A body with its texts, or with a template in their place."""
    return PolymorphicProxySerializer(
        component_name=f"Any{body.__name__}", serializers=[body, templated(body)], resource_type_field_name=None
    )


class ByChannel(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # the library types none of these
    """One schema for each channel, told apart by `channel`."""

    target_class = "notifications.api.serializers.NewNotification"

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        references = {
            channel: auto_schema.resolve_serializer(either(VARIANTS.get(channel) or _variant(channel)), direction).ref
            for channel in open_channels()
        }
        return {
            "oneOf": list(references.values()),
            "discriminator": {
                "propertyName": "channel",
                "mapping": {channel: reference["$ref"] for channel, reference in references.items()},
            },
        }


class SizeOfBatch(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # the library types none of these
    target_class = "notifications.api.serializers.NewBatch"

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = super().map_serializer(auto_schema, direction)
        schema["properties"]["notifications"] |= {"minItems": 1, "maxItems": MOST_IN_BATCH}
        return schema
