"""What the schema of every operation is made of: fields, headers, problems, and the key."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from notifications.api.kinds import KINDS
from notifications.states import Status

JSON = "application/json"
PROBLEM = "application/problem+json"
STATUSES = [status.value for status in Status]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library types none of these
    target_class = "notifications.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        about = (
            "An API key: `nk_…`. With a test key, `nk_test_…`, all is accepted and processed as usual and "
            "delivered to the sandbox only; each kind of key sees and changes its own kind of notification."
        )
        return {"type": "http", "scheme": "bearer", "description": about}


class Texts(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # the library types none of these
    target_class = "notifications.api.fields.Text"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return dict(self.target.shape)


class AnythingOfAShape(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # as above
    target_class = "notifications.api.fields.Anything"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return dict(self.target.shape)


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
    errors = ProblemField(many=True, required=False)  # type: ignore[assignment]  # a serializer has `errors` of its own


_SECONDS: dict[str, Any] = {"type": "integer", "minimum": 1}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def header(name: str, about: str, shape: Mapping[str, Any] | None = None, **options: Any) -> OpenApiParameter:
    kind = dict(shape or {"type": "string"})
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=about, **options)


CORRELATION = header("X-Correlation-ID", "Follows the notification into logs and to the provider; made if missing.")
TRACE = header(
    "traceparent",
    "W3C Trace Context: its trace id is the correlation id, where no X-Correlation-ID is sent.",
)
_ALL = sorted({200, 202, *(int(kind.status) for kind in KINDS.values())})
_WITH_A_KEY = [status for status in _ALL if status != HTTPStatus.UNAUTHORIZED]
OF_EVERY_ANSWER = (
    CORRELATION,
    TRACE,
    header("X-Correlation-ID", "As sent, or made.", required=True, response=True),
    header(
        "RateLimit-Limit",
        "Notifications a minute, where there is a limit; other requests count as one.",
        _COUNT,
        response=_WITH_A_KEY,
    ),
    header("RateLimit-Remaining", "What is left of them.", _COUNT, response=_WITH_A_KEY),
    header("RateLimit-Reset", "Seconds until there are more.", _SECONDS, response=_WITH_A_KEY),
    header("WWW-Authenticate", "`Bearer`", required=True, response=[401]),
    header("Retry-After", "Seconds to wait before the same request is sent again.", _SECONDS, response=[409]),
    header(
        "Retry-After",
        "Seconds to wait before the same request is sent again.",
        _SECONDS,
        required=True,
        response=[429, 503],
    ),
)
NOTIFICATION_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)

COMMON = (
    "bad_request",
    "unauthenticated",
    "client_inactive",
    "scope_missing",
    "throttled",
    "not_acceptable",
    "internal_error",
    "unavailable",
)


def problems(*codes: str) -> dict[tuple[int, str], OpenApiResponse]:
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


def without_slash_variants(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Name each path once: a trailing slash is allowed and not worth telling."""
    return [(path.rstrip("/"), regex, method, view) for path, regex, method, view in endpoints]
