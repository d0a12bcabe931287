"""The endpoints by which a client says where it wants to be told what becomes of its notifications."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import selectors, services
from notifications.api import schema_webhooks, shapes
from notifications.api.fields import StrictSerializer, Text
from notifications.api.viewsets import ClientViewSet, body_of, client_of
from notifications.credentials import Scope
from notifications.models import WebhookEndpoint, every_event

WEBHOOKS_PATH = "/api/v1/webhooks"
_NO_CACHE = {"Cache-Control": "no-store"}  # of an answer with a secret


class Flag(serializers.BooleanField):
    """true or false; DRF takes "no" and 0, too."""

    default_error_messages: ClassVar = {"invalid": "This must be true or false."}

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


@extend_schema_field(
    {"type": "array", "items": {"type": "string", "enum": every_event()}, "minItems": 1, "uniqueItems": True}
)
class Events(serializers.ListField):
    """Some of the statuses that can be told of, each once."""

    child = serializers.ChoiceField(
        every_event(), error_messages={"invalid_choice": f"This must be one of {', '.join(every_event())}."}
    )

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list) or len(data) > len(every_event()):
            self.fail("not_a_list", input_type=type(data).__name__)
        given = super().to_internal_value(data)
        if len(set(given)) < len(given):
            raise ValidationError([ErrorDetail("Each may be named once.", code="duplicate")])
        return cast(list[str], given)


def _events(**options: Any) -> Events:
    words: Any = {
        "not_a_list": f"This must be a list of up to {len(every_event())} events.",
        "empty": "Name at least one event.",
    }
    return Events(allow_empty=False, max_length=len(every_event()), error_messages=words, **options)


class NewWebhook(StrictSerializer):
    url = Text(help_text="https, on the public internet.", shape=shapes.WEBHOOK_URL)
    events = _events(default=every_event, help_text="What to be told of; all, where left out.")
    description = Text(default="", allow_blank=True, max_length=shapes.LONGEST_DESCRIPTION, shape=shapes.DESCRIPTION)


class ChangedWebhook(StrictSerializer):
    """What is left out stays as it is."""

    url = Text(required=False, shape=shapes.WEBHOOK_URL)
    events = _events(required=False)
    description = Text(
        required=False, allow_blank=True, max_length=shapes.LONGEST_DESCRIPTION, shape=shapes.DESCRIPTION
    )
    is_active = Flag(required=False)


class WebhookRow(serializers.ModelSerializer[WebhookEndpoint]):
    """A webhook, without its secret."""

    events = serializers.ListField(child=serializers.ChoiceField(every_event()))
    links = serializers.SerializerMethodField()

    class Meta:
        model = WebhookEndpoint
        fields: ClassVar = [
            *("id", "url", "events", "description", "is_active", "disabled_reason", "created_at"),
            *("previous_until", "links"),
        ]

    def get_links(self, row: WebhookEndpoint) -> dict[str, str]:
        return {"self": f"{WEBHOOKS_PATH}/{row.id}"}


class WebhookWithSecret(WebhookRow):
    """A webhook and its secret, which is shown when it is made and when it is rotated."""

    class Meta(WebhookRow.Meta):
        fields: ClassVar = [*WebhookRow.Meta.fields, "secret"]


@schema_webhooks.keeping_webhooks(NewWebhook, ChangedWebhook, WebhookRow, WebhookWithSecret)
class WebhookViewSet(ClientViewSet):
    live = True  # what is told there is of live notifications
    scopes: ClassVar = {
        **dict.fromkeys(("list", "retrieve"), Scope.READ),
        **dict.fromkeys(("create", "partial_update", "destroy", "rotate"), Scope.MANAGE),
    }

    def list(self, request: Request) -> Response:
        return Response({"results": WebhookRow(selectors.webhooks(client_of(request)), many=True).data, "next": None})

    def create(self, request: Request) -> Response:
        asked = NewWebhook.values(body_of(request))
        made = services.create_webhook(client_of(request), **asked)
        headers = {**_NO_CACHE, "Location": f"{WEBHOOKS_PATH}/{made.id}"}
        return Response(WebhookWithSecret(made).data, status=HTTPStatus.CREATED, headers=headers)

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(WebhookRow(_own(request, pk)).data)

    def partial_update(self, request: Request, pk: str) -> Response:
        asked = ChangedWebhook.values(body_of(request))
        try:
            changed = services.change_webhook(_own(request, pk), asked)
        except WebhookEndpoint.DoesNotExist:  # deleted meanwhile
            raise Http404 from None
        return Response(WebhookRow(changed).data)

    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_webhook(_own(request, pk))
        return Response(status=HTTPStatus.NO_CONTENT)

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        if request.stream is not None:
            StrictSerializer.values(body_of(request))
        try:
            rotated = services.rotate_webhook(_own(request, pk))
        except WebhookEndpoint.DoesNotExist:
            raise Http404 from None
        return Response(WebhookWithSecret(rotated).data, headers=_NO_CACHE)


def _own(request: Request, pk: str) -> WebhookEndpoint:
    try:
        return selectors.webhook(client_of(request), UUID(pk))
    except (ValueError, WebhookEndpoint.DoesNotExist):  # nobody's, or another client's
        raise Http404 from None
