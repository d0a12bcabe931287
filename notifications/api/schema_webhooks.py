"""What drf-spectacular cannot see by itself of the webhooks' endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers

from notifications.api.schema_parts import COMMON, CORRELATION, JSON, NOTIFICATION_ID, OF_EVERY_ANSWER, header, problems

V = TypeVar("V", bound=Callable[..., Any])
WEBHOOK_EXAMPLE = {"url": "https://example.com/notified", "events": ["failed", "unknown"], "description": "the pager"}
_WEBHOOK_BODY = ("malformed_json", "invalid", "payload_too_large", "unsupported_media_type")
_AT_WEBHOOK = header("Location", "Where the webhook can be read.", response=[201])


def keeping_webhooks(new: type[Any], change: type[Any], row: type[Any], secret: type[Any]) -> Callable[[V], V]:
    """Describe the viewset of the webhooks."""
    page = extend_schema_serializer(many=False)(  # one page, not a list of them
        type(
            "Webhooks",
            (serializers.Serializer,),
            {
                "__doc__": "All of them: there are ten at most.",
                "results": row(many=True),
                "next": serializers.URLField(allow_null=True, help_text="Always null."),
            },
        )
    )
    shared: dict[str, Any] = {"tags": ["webhooks"]}
    own = [NOTIFICATION_ID, CORRELATION, *OF_EVERY_ANSWER]
    return extend_schema_view(
        list=extend_schema(
            summary="List your webhooks",
            parameters=[CORRELATION, *OF_EVERY_ANSWER],
            responses={(200, JSON): page, **problems(*COMMON)},
            **shared,
        ),
        create=extend_schema(
            summary="Be told at an address of yours",
            request=new,
            parameters=[CORRELATION, *OF_EVERY_ANSWER, _AT_WEBHOOK],
            responses={
                (201, JSON): OpenApiResponse(secret, description="Made. The secret is shown this once."),
                **problems(*COMMON, *_WEBHOOK_BODY, "webhook_conflict"),
            },
            examples=[OpenApiExample("Request", value=WEBHOOK_EXAMPLE, request_only=True)],
            **shared,
        ),
        retrieve=extend_schema(
            summary="Read one webhook",
            parameters=own,
            responses={(200, JSON): row, **problems(*COMMON, "not_found")},
            **shared,
        ),
        partial_update=extend_schema(
            summary="Change a webhook, or switch it off and on",
            request=change,
            parameters=own,
            responses={
                (200, JSON): row,
                **problems(*COMMON, *_WEBHOOK_BODY, "not_found", "webhook_conflict"),
            },
            **shared,
        ),
        destroy=extend_schema(
            summary="Delete a webhook",
            description="What it was not told yet fails.",
            parameters=own,
            responses={204: OpenApiResponse(description="It is gone."), **problems(*COMMON, "not_found")},
            **shared,
        ),
        rotate=extend_schema(
            summary="Give a webhook another secret",
            description="Both sign for 24 hours.",
            request=None,
            parameters=own,
            responses={
                (200, JSON): OpenApiResponse(secret, description="The new secret, shown this once."),
                **problems(*COMMON, *_WEBHOOK_BODY, "not_found"),
            },
            **shared,
        ),
    )
