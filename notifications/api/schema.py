"""What drf-spectacular cannot see by itself of the notifications' endpoints: headers, problems, examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers

from notifications.api import shapes
from notifications.api.schema_parts import COMMON, JSON, NOTIFICATION_ID, OF_EVERY_ANSWER, header, problems

V = TypeVar("V", bound=Callable[..., Any])


def _test_mark() -> serializers.BooleanField:
    return serializers.BooleanField(required=False, help_text="`true` where a test key asked for it; else left out.")


class Accepted(serializers.Serializer[Any]):
    """The answer to an accept, the same bytes at every replay of its key."""

    id = serializers.UUIDField()
    channel = serializers.CharField()
    to = serializers.CharField()
    status = serializers.CharField()
    created_at = serializers.DateTimeField()
    idempotency_key = serializers.CharField(allow_null=True)
    test = _test_mark()
    links = serializers.DictField(child=serializers.CharField())


class AcceptedInBatch(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    channel = serializers.CharField()
    to = serializers.CharField()
    status = serializers.CharField()
    created_at = serializers.DateTimeField()
    test = _test_mark()
    links = serializers.DictField(child=serializers.CharField())


class AcceptedBatch(serializers.Serializer[Any]):
    """The answer to a batch, in its order."""

    notifications = AcceptedInBatch(many=True)
    idempotency_key = serializers.CharField(allow_null=True)


KEY = header(
    "Idempotency-Key",
    "1 to 255 printable ASCII characters, bare or quoted; the same at every retry of one notification. A key "
    f"is kept for {settings.IDEMPOTENCY_KEY_TTL.total_seconds() / 3600:.0f} hours at least.",
    shapes.KEY,
    required=settings.IDEMPOTENCY_KEY_REQUIRED,
    examples=[OpenApiExample("Of an order", value="order-placed:42")],
)
_LOCATION = header(
    "Location", "Where the notification can be read.", {"type": "string", "format": "uri-reference"}, response=[202]
)
_REPLAYED: dict[str, Any] = {"type": "string", "const": "true"}
_OF_ACCEPTS = (
    header("Idempotency-Key", "As sent.", response=[202]),
    header("Idempotent-Replayed", "`true` where the answer is that of an earlier request.", _REPLAYED, response=[202]),
)
_OPTIONAL_KEY = header(
    "Idempotency-Key",
    "As of the accepts, but not required: the same at every retry of one change.",
    shapes.KEY,
    required=False,
)
_OF_CHANGES = (
    header("Idempotency-Key", "As sent.", response=[200, 202]),
    header(
        "Idempotent-Replayed", "`true` where the answer is that of an earlier request.", _REPLAYED, response=[200, 202]
    ),
)
_LABELS = OpenApiParameter(
    "metadata",
    dict(shapes.LABELS_OF_QUERY),
    style="deepObject",
    explode=True,
    description="Entries that it was accepted with, all of them: `metadata[order]=42`.",
)
_ACCEPT = (
    *("malformed_json", "invalid", "idempotency_key_missing", "idempotency_key_invalid"),
    *("idempotency_key_in_use", "payload_too_large", "unsupported_media_type", "idempotency_key_reused"),
    *("sandbox_not_configured", "suppressed"),
)

_CHANGE = (
    *("malformed_json", "invalid", "idempotency_key_invalid", "idempotency_key_in_use"),
    *("payload_too_large", "unsupported_media_type", "idempotency_key_reused"),
)


@dataclass(frozen=True)
class Answered:
    """What a successful request is answered."""

    body: type[Any]
    example: OpenApiExample
    about: str
    headers: tuple[OpenApiParameter, ...]


_ID = "0190163d-8694-739b-aea5-966c26f8ad91"
_ACCEPTED_VALUE = {
    "id": _ID,
    "channel": "sms",
    "to": "+14155552671",
    "status": "pending",
    "created_at": "2030-01-31T08:30:00.123456Z",
    "idempotency_key": "order-placed:42",
    "links": {"self": f"/api/v1/notifications/{_ID}"},
}
_ACCEPTED_EXAMPLE = OpenApiExample("Accepted", value=_ACCEPTED_VALUE, response_only=True, status_codes=["202"])
_ACCEPTED_BATCH_EXAMPLE = OpenApiExample(
    "Accepted",
    value={
        "notifications": [{name: value for name, value in _ACCEPTED_VALUE.items() if name != "idempotency_key"}],
        "idempotency_key": "order-placed:42",
    },
    response_only=True,
    status_codes=["202"],
)
NOTIFICATION_EXAMPLE: dict[str, Any] = {
    "channel": "sms",
    "to": "+14155552671",
    "message": "Your order 42 is on its way.",
    "priority": "high",
    "metadata": {"order": 42},
}
BATCH_EXAMPLE = {"notifications": [NOTIFICATION_EXAMPLE, {"channel": "slack", "message": "Order 42 has left."}]}
SLACK_EXAMPLE = {"message": "Deployed version 42."}
MAIL_EXAMPLE = {
    "message": "Your order 42 is on its way.",
    "send_to": "ann@example.com",
    "subject": "Order 42",
}
SMS_EXAMPLE = {"message": "Your order 42 is on its way.", "send_to_number": "+14155552671"}

ACCEPTED_ONE = Answered(Accepted, _ACCEPTED_EXAMPLE, "Stored durably; it will be sent.", (_LOCATION, *_OF_ACCEPTS))
ACCEPTED_BATCH = Answered(AcceptedBatch, _ACCEPTED_BATCH_EXAMPLE, "All stored durably.", _OF_ACCEPTS)


def accepting(
    body: type[Any], summary: str, example: dict[str, Any], *, answered: Answered | None = None
) -> Callable[[V], V]:
    """Describe a viewset's `create`."""
    answered = answered or ACCEPTED_ONE
    return extend_schema_view(
        create=extend_schema(
            summary=summary,
            tags=["send"],
            request=body,
            parameters=[KEY, *OF_EVERY_ANSWER, *answered.headers],
            responses={
                (202, JSON): OpenApiResponse(answered.body, description=answered.about),
                **problems(*COMMON, *_ACCEPT),
            },
            examples=[OpenApiExample("Request", value=example, request_only=True), answered.example],
        )
    )


def reading(query: type[Any], row: type[Any], detail: type[Any]) -> Callable[[V], V]:
    """Describe a viewset's `list` and `retrieve`."""
    page = extend_schema_serializer(many=False)(  # one page, not a list of them
        type(
            "Page",
            (serializers.Serializer,),
            {
                "__doc__": "Newest first.",
                "results": row(many=True),
                "next": serializers.URLField(
                    allow_null=True,
                    help_text="The next page; null at the end. A page looks at 5,000 notifications at most, so one "
                    "that is not the last may hold less than `limit`, or nothing.",
                ),
            },
        )
    )
    shared: dict[str, Any] = {"tags": ["read"]}
    return extend_schema_view(
        list=extend_schema(
            summary="List your notifications, newest first",
            parameters=[query, _LABELS, *OF_EVERY_ANSWER],
            description="Follow `next` until it is null: no page shows one twice, whatever comes in meanwhile.",
            responses={
                (200, JSON): OpenApiResponse(page, description="A page."),
                **problems(*COMMON, "invalid"),
            },
            **shared,
        ),
        retrieve=extend_schema(
            summary="Read one notification with its story, and what happens next",
            parameters=[NOTIFICATION_ID, *OF_EVERY_ANSWER],
            description="Another client's is not found.",
            responses={
                (200, JSON): OpenApiResponse(detail, description="It, as it stands."),
                **problems(*COMMON, "not_found"),
            },
            **shared,
        ),
    )


def changing(row: type[Any], **bodies: type[Any]) -> Callable[[V], V]:
    """Describe a viewset's `resend`, `cancel` and `reschedule`."""
    words = {
        "resend": (202, "Send one that failed or is unknown once more", "It is pending again."),
        "cancel": (200, "Cancel one that is pending, failed or unknown", "It is canceled, and never sent."),
        "reschedule": (200, "Give a pending one another time", "It has its new time."),
    }
    forbids = {"resend": ("redacted", "suppressed")}  # beside its state
    return extend_schema_view(
        **{
            name: extend_schema(
                summary=summary,
                description="Once for each Idempotency-Key, where one is sent; 409 where its status forbids it.",
                tags=["change"],
                request=bodies.get(name),
                parameters=[NOTIFICATION_ID, _OPTIONAL_KEY, *OF_EVERY_ANSWER, *_OF_CHANGES],
                responses={
                    (status, JSON): OpenApiResponse(row, description=about),
                    **problems(*COMMON, *_CHANGE, "not_found", "wrong_state", *forbids.get(name, ())),
                },
            )
            for name, (status, summary, about) in words.items()
        }
    )


def resending(body: type[Any], answer: type[Any]) -> Callable[[V], V]:
    """Describe a viewset's `resend_many`."""
    return extend_schema_view(
        resend_many=extend_schema(
            operation_id="notifications_resend_many",
            summary="Send again what failed",
            description="Of those chosen up to a thousand; go on with `next_cursor` until it is null. What is unknown "
            "is sent again only where `status` says so: it may arrive twice.",
            tags=["change"],
            request=body,
            parameters=[_OPTIONAL_KEY, *OF_EVERY_ANSWER, *_OF_CHANGES],
            responses={
                (202, JSON): OpenApiResponse(answer, description="These are pending again."),
                **problems(*COMMON, *_CHANGE),
            },
        )
    )
