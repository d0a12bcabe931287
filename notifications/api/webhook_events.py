"""What the clients' webhooks are told, for the schema: outbox/tell.py makes it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    OpenApiWebhook,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers

from notifications.models import every_event

_EXAMPLE = {
    "type": "notification.failed",
    "timestamp": "2030-01-31T08:30:01.234567Z",
    "data": {
        "id": "0190163d-8694-739b-aea5-966c26f8ad91",
        "channel": "sms",
        "to": "+14155552671",
        "test": False,
        "status": "failed",
        "error_code": "21211",
        "provider_id": "",
        "attempt": 1,
        "possible_duplicate": False,
        "metadata": {"order": 42},
        "idempotency_key": "order-placed:42",
        "correlation_id": "0190163d-8694-739b-aea5-966c26f8ad92",
        "created_at": "2030-01-31T08:30:00.123456Z",
    },
}
_HEADERS = """Signed by the scheme of [Standard Webhooks](https://www.standardwebhooks.com), and told again until it is
answered with 2xx.

- `webhook-id`: the same at every try, so that it can be taken once
- `webhook-timestamp`: when this try was made, in seconds since 1970
- `webhook-signature`: `v1,` and the base64 of an HMAC-SHA256; two of them, with a space between, during a rotation
- `X-Correlation-ID`: the notification's own
"""


class ToldOf(serializers.Serializer[Any]):
    """The notification, as it was when this was decided."""

    id = serializers.UUIDField()
    channel = serializers.CharField()
    to = serializers.CharField()
    test = serializers.BooleanField(help_text="Whether it went to the sandbox only.")
    status = serializers.ChoiceField(every_event())
    error_code = serializers.CharField(help_text="Why it failed or is unknown; else empty.")
    provider_id = serializers.CharField(help_text="The provider's name for it, where it gives one; else empty.")
    attempt = serializers.IntegerField(help_text="How often it was tried.")
    possible_duplicate = serializers.BooleanField(help_text="Whether it may have been sent more than once.")
    metadata = serializers.DictField()
    idempotency_key = serializers.CharField(allow_null=True)
    correlation_id = serializers.CharField()
    created_at = serializers.DateTimeField()


@extend_schema_serializer(examples=[OpenApiExample("failed", value=_EXAMPLE)])
class Told(serializers.Serializer[Any]):
    type = serializers.ChoiceField([f"notification.{event}" for event in every_event()])
    timestamp = serializers.DateTimeField(help_text="When it was decided.")
    data = ToldOf()  # type: ignore[assignment]  # a serializer has `data` of its own


def _of(event: str, summary: str) -> OpenApiWebhook:
    return OpenApiWebhook(
        name=f"notification.{event}",
        decorator=extend_schema(
            summary=summary,
            description=_HEADERS,
            tags=["webhooks"],
            request=Told,
            responses={"2XX": OpenApiResponse(description="Taken. 410 switches the webhook off.")},
        ),
    )


sent = _of("sent", "The provider has taken it")
delivered = _of("delivered", "It has reached its recipient, by the provider's word")
failed = _of("failed", "It was not sent, and will not be")
unknown = _of("unknown", "It may have been sent or not: nobody knows")
