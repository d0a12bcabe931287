"""What drf-spectacular cannot see by itself: headers, problems, examples, and the key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers

from channels.registry import channels, open_channels
from notifications.api import shapes
from notifications.api.kinds import KINDS
from notifications.states import Status

V = TypeVar("V", bound=Callable[..., Any])
JSON = "application/json"
PROBLEM = "application/problem+json"
STATUSES = [status.value for status in Status]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "notifications.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        about = (
            "An API key: `nk_…`. With a test key, `nk_test_…`, all is accepted and processed as usual and "
            "delivered to the sandbox only; each kind of key sees and changes its own kind of notification."
        )
        return {"type": "http", "scheme": "bearer", "description": about}


class ChannelNames(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "notifications.api.fields.ChannelName"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return dict(self.target.shape) or {"type": "string", "enum": list(channels())}


class OpenChannelNames(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "notifications.api.fields.OpenChannelName"
    priority = 1  # before that of every channel's name

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return dict(self.target.shape) or {"type": "string", "enum": open_channels()}


class Texts(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "notifications.api.fields.Text"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return dict(self.target.shape) or {"type": "string"}


class LabelsOfMetadata(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "notifications.api.fields.Metadata"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return dict(shapes.METADATA)


class LabelsToLookFor(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "notifications.api.fields.Labels"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return dict(shapes.LABELS)


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


class ProblemField(serializers.Serializer[Any]):
    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemDetails(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.ChoiceField(list(KINDS))
    correlation_id = serializers.CharField()
    errors = ProblemField(many=True, required=False)  # type: ignore[assignment]


_SECONDS: dict[str, Any] = {"type": "integer", "minimum": 1}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def _header(name: str, about: str, shape: Mapping[str, Any] | None = None, **options: Any) -> OpenApiParameter:
    kind = dict(shape or {"type": "string"})
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=about, **options)


KEY = _header(
    "Idempotency-Key",
    "1 to 255 printable ASCII characters, bare or quoted; the same at every retry of one notification. A key "
    f"is kept for {settings.IDEMPOTENCY_KEY_TTL.total_seconds() / 3600:.0f} hours at least.",
    shapes.KEY,
    required=settings.IDEMPOTENCY_KEY_REQUIRED,
    examples=[OpenApiExample("Of an order", value="order-placed:42")],
)
CORRELATION = _header("X-Correlation-ID", "Follows the notification into logs and to the provider; made if missing.")
TRACE = _header(
    "traceparent",
    "W3C Trace Context: its trace id is the correlation id, where no X-Correlation-ID is sent.",
)
_ALL = sorted({200, 202, *(int(kind.status) for kind in KINDS.values())})
_WITH_A_KEY = [status for status in _ALL if status != HTTPStatus.UNAUTHORIZED]
_OF_EVERY_ANSWER = (
    CORRELATION,
    TRACE,
    _header("X-Correlation-ID", "As sent, or made.", required=True, response=True),
    _header(
        "RateLimit-Limit",
        "Notifications a minute, where there is a limit; other requests count as one.",
        _COUNT,
        response=_WITH_A_KEY,
    ),
    _header("RateLimit-Remaining", "What is left of them.", _COUNT, response=_WITH_A_KEY),
    _header("RateLimit-Reset", "Seconds until there are more.", _SECONDS, response=_WITH_A_KEY),
    _header("WWW-Authenticate", "`Bearer`", required=True, response=[401]),
    _header("Retry-After", "Seconds to wait before the same request is sent again.", _SECONDS, response=[409]),
    _header(
        "Retry-After",
        "Seconds to wait before the same request is sent again.",
        _SECONDS,
        required=True,
        response=[429, 503],
    ),
)
_LOCATION = _header(
    "Location", "Where the notification can be read.", {"type": "string", "format": "uri-reference"}, response=[202]
)
_REPLAYED: dict[str, Any] = {"type": "string", "const": "true"}
_OF_ACCEPTS = (
    _header("Idempotency-Key", "As sent.", response=[202]),
    _header("Idempotent-Replayed", "`true` where the answer is that of an earlier request.", _REPLAYED, response=[202]),
)
_OPTIONAL_KEY = _header(
    "Idempotency-Key",
    "As of the accepts, but not required: the same at every retry of one change.",
    shapes.KEY,
    required=False,
)
_OF_CHANGES = (
    _header("Idempotency-Key", "As sent.", response=[200, 202]),
    _header(
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
_NOTIFICATION_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)

_COMMON = (
    "bad_request",
    "unauthenticated",
    "client_inactive",
    "scope_missing",
    "throttled",
    "not_acceptable",
    "internal_error",
    "unavailable",
)
_ACCEPT = (
    *("malformed_json", "invalid", "idempotency_key_missing", "idempotency_key_invalid"),
    *("idempotency_key_in_use", "payload_too_large", "unsupported_media_type", "idempotency_key_reused"),
    "sandbox_not_configured",
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


def _problems(*codes: str) -> dict[tuple[int, str], OpenApiResponse]:
    """One response for each status, with an example for each of its codes."""
    statuses = sorted({int(KINDS[code].status) for code in codes})
    return {
        (status, PROBLEM): OpenApiResponse(
            ProblemDetails,
            description=" · ".join(KINDS[code].title for code in codes if KINDS[code].status == status),
            examples=[_example(code) for code in codes if KINDS[code].status == status],
        )
        for status in statuses
    }


def _example(code: str) -> OpenApiExample:
    kind = KINDS[code]
    body: dict[str, Any] = {
        "type": f"/problems#{code}",
        "title": kind.title,
        "status": int(kind.status),
        "detail": kind.advice,
        "code": code,
        "correlation_id": "0190163d-8694-739b-aea5-966c26f8ad92",
    }
    if code == "invalid":
        body["errors"] = [{"field": "to", "code": "invalid_phone_number", "detail": "must be a phone number in E.164"}]
    return OpenApiExample(code, summary=kind.title, value=body, response_only=True)


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
            parameters=[KEY, *_OF_EVERY_ANSWER, *answered.headers],
            responses={
                (202, JSON): OpenApiResponse(answered.body, description=answered.about),
                **_problems(*_COMMON, *_ACCEPT),
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
            parameters=[query, _LABELS, *_OF_EVERY_ANSWER],
            description="Follow `next` until it is null: no page shows one twice, whatever comes in meanwhile.",
            responses={
                (200, JSON): OpenApiResponse(page, description="A page."),
                **_problems(*_COMMON, "invalid"),
            },
            **shared,
        ),
        retrieve=extend_schema(
            summary="Read one notification with its story, and what happens next",
            parameters=[_NOTIFICATION_ID, *_OF_EVERY_ANSWER],
            description="Another client's is not found.",
            responses={
                (200, JSON): OpenApiResponse(detail, description="It, as it stands."),
                **_problems(*_COMMON, "not_found"),
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
    return extend_schema_view(
        **{
            name: extend_schema(
                summary=summary,
                description="Once for each Idempotency-Key, where one is sent; 409 where its status forbids it.",
                tags=["change"],
                request=bodies.get(name),
                parameters=[_NOTIFICATION_ID, _OPTIONAL_KEY, *_OF_EVERY_ANSWER, *_OF_CHANGES],
                responses={
                    (status, JSON): OpenApiResponse(row, description=about),
                    **_problems(*_COMMON, *_CHANGE, "not_found", "wrong_state"),
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
            parameters=[_OPTIONAL_KEY, *_OF_EVERY_ANSWER, *_OF_CHANGES],
            responses={
                (202, JSON): OpenApiResponse(answer, description="These are pending again."),
                **_problems(*_COMMON, *_CHANGE),
            },
        )
    )


def without_slash_variants(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Name each path once: a trailing slash is allowed and not worth telling."""
    return [(path.rstrip("/"), regex, method, view) for path, regex, method, view in endpoints]


WEBHOOK_EXAMPLE = {"url": "https://example.com/notified", "events": ["failed", "unknown"], "description": "the pager"}
_WEBHOOK_BODY = ("malformed_json", "invalid", "payload_too_large", "unsupported_media_type")
_AT_WEBHOOK = _header("Location", "Where the webhook can be read.", response=[201])


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
    own = [_NOTIFICATION_ID, CORRELATION, *_OF_EVERY_ANSWER]
    return extend_schema_view(
        list=extend_schema(
            summary="List your webhooks",
            parameters=[CORRELATION, *_OF_EVERY_ANSWER],
            responses={(200, JSON): page, **_problems(*_COMMON)},
            **shared,
        ),
        create=extend_schema(
            summary="Be told at an address of yours",
            request=new,
            parameters=[CORRELATION, *_OF_EVERY_ANSWER, _AT_WEBHOOK],
            responses={
                (201, JSON): OpenApiResponse(secret, description="Made. The secret is shown this once."),
                **_problems(*_COMMON, *_WEBHOOK_BODY, "webhook_conflict"),
            },
            examples=[OpenApiExample("Request", value=WEBHOOK_EXAMPLE, request_only=True)],
            **shared,
        ),
        retrieve=extend_schema(
            summary="Read one webhook",
            parameters=own,
            responses={(200, JSON): row, **_problems(*_COMMON, "not_found")},
            **shared,
        ),
        partial_update=extend_schema(
            summary="Change a webhook, or switch it off and on",
            request=change,
            parameters=own,
            responses={
                (200, JSON): row,
                **_problems(*_COMMON, *_WEBHOOK_BODY, "not_found", "webhook_conflict"),
            },
            **shared,
        ),
        destroy=extend_schema(
            summary="Delete a webhook",
            description="What it was not told yet fails.",
            parameters=own,
            responses={204: OpenApiResponse(description="It is gone."), **_problems(*_COMMON, "not_found")},
            **shared,
        ),
        rotate=extend_schema(
            summary="Give a webhook another secret",
            description="Both sign for 24 hours.",
            request=None,
            parameters=own,
            responses={
                (200, JSON): OpenApiResponse(secret, description="The new secret, shown this once."),
                **_problems(*_COMMON, *_WEBHOOK_BODY, "not_found"),
            },
            **shared,
        ),
    )
