"""The endpoints: validate, ask one service or selector, serialise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.viewsets import ViewSet

from notifications import modes, selectors, services
from notifications.api import schema, throttling, variants
from notifications.api.keys import KEY_HEADER, idempotency_key
from notifications.api.problems import Problem, refused
from notifications.api.serializers import (
    Acceptable,
    BulkResend,
    NewBatch,
    NewMail,
    NewNotification,
    NewSlackMessage,
    NewSms,
    NewTime,
    Nothing,
    NotificationDetail,
    NotificationRow,
    PageQuery,
    Resent,
)
from notifications.credentials import Scope
from notifications.idempotency import fingerprint
from notifications.models import Client, Notification
from notifications.selectors import Key


class ClientViewSet(ViewSet):
    """What clients ask: each of its actions has its scope, and each answer says what is left of their minute."""

    scopes: ClassVar[Mapping[str, Scope]]
    live: ClassVar[bool] = False  # whether it is for live keys alone

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """What the address takes, in Allow."""
        return Response(status=HTTPStatus.NO_CONTENT)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        throttling.tell(request, final)
        return final


class AcceptingViewSet(ClientViewSet):
    """Accepts a body as a notification, once for each Idempotency-Key."""

    scopes: ClassVar = {"create": Scope.SEND}
    body: ClassVar[type[Acceptable]]
    store: ClassVar[Callable[..., services.Accepted]] = staticmethod(services.accept)

    def create(self, request: Request) -> HttpResponse:
        posted = body_of(request)
        key = idempotency_key(request)
        operation = f"POST {request.path.rstrip('/')}"
        asked = fingerprint(posted)
        try:
            wanted = self.body.read(posted)
            if isinstance(wanted, list):
                throttling.charge(request, len(wanted) - 1)
            accepted = self.store(
                client_of(request),
                wanted,
                key=key,
                operation=operation,
                fingerprint=asked,
                correlation_id=getattr(request, "correlation_id", ""),
                test=is_test(request),
            )
        except (ValidationError, services.Refused, services.NoSandbox) as error:
            # What was accepted once stays accepted, though its time be past or its webhook gone since.
            replayed = key and services.replay_answer(
                client_of(request), operation=operation, key=key, fingerprint=asked, test=is_test(request)
            )
            if not replayed:
                raise self._in_words_of_the_body(error) from None
            accepted = replayed
        return _accepted(accepted, request)

    def _in_words_of_the_body(self, error: ValidationError | services.Refused | services.NoSandbox) -> Exception:
        if not isinstance(error, services.Refused):
            return error
        return refused([replace(each, field=self.body.named(each.field)) for each in error.problems])


@schema.accepting(variants.either(NewSlackMessage), "Post to the default Slack webhook", schema.SLACK_EXAMPLE)
class SlackViewSet(AcceptingViewSet):
    body = NewSlackMessage


@schema.accepting(variants.either(NewMail), "Send an email", schema.MAIL_EXAMPLE)
class MailViewSet(AcceptingViewSet):
    body = NewMail


@schema.accepting(variants.either(NewSms), "Send a text message", schema.SMS_EXAMPLE)
class SmsViewSet(AcceptingViewSet):
    body = NewSms


@schema.accepting(NewBatch, "Send many, all or none", schema.BATCH_EXAMPLE, answered=schema.ACCEPTED_BATCH)
class BatchViewSet(AcceptingViewSet):
    body = NewBatch
    store = staticmethod(services.accept_batch)


@schema.accepting(NewNotification, "Send over any channel", schema.NOTIFICATION_EXAMPLE)
@schema.reading(PageQuery, NotificationRow, NotificationDetail)
@schema.changing(NotificationRow, resend=Nothing, cancel=Nothing, reschedule=NewTime)
@schema.resending(BulkResend, Resent)
class NotificationViewSet(AcceptingViewSet):
    scopes: ClassVar = {
        **AcceptingViewSet.scopes,
        **dict.fromkeys(("list", "retrieve"), Scope.READ),
        **dict.fromkeys(("resend", "resend_many", "cancel", "reschedule"), Scope.MANAGE),
    }
    body = NewNotification

    def list(self, request: Request) -> Response:
        asked = PageQuery.read(request.query_params)
        before, limit = asked.pop("cursor", None), asked.pop("limit")
        wanted, test = PageQuery.wanted(asked), is_test(request)
        rows, following = selectors.page(client_of(request), wanted, before=before, limit=limit, test=test)
        here = request.build_absolute_uri()
        after = replace_query_param(here, "cursor", str(following)) if following else None
        return Response({"results": NotificationRow(rows, many=True).data, "next": after})

    def retrieve(self, request: Request, pk: str) -> Response:
        try:
            found = selectors.notification(client_of(request), _id(pk), test=is_test(request))
        except Notification.DoesNotExist:  # nobody's, another client's, or of the other mode
            raise Http404 from None
        return Response(NotificationDetail(selectors.with_attempts(found)).data)

    @action(detail=False, methods=["post"], url_path="resend", url_name="resend-many")
    def resend_many(self, request: Request) -> HttpResponse:
        asked = BulkResend.values(body_of(request))  # no body is no choice: {} chooses all that failed
        before, limit = asked.pop("cursor", None), asked.pop("limit")
        change = partial(
            services.resend_matching,
            client_of(request),
            BulkResend.wanted(asked),
            before=before,
            limit=limit,
            tell=_tell_resent,
            test=is_test(request),
        )
        return _accepted(change(use=_use(request)), request)

    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> HttpResponse:
        Nothing.values(_posted(request))
        return _changed(request, pk, services.resend_own, HTTPStatus.ACCEPTED)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> HttpResponse:
        Nothing.values(_posted(request))
        return _changed(request, pk, services.cancel_own, HTTPStatus.OK)

    @action(detail=True, methods=["post"])
    def reschedule(self, request: Request, pk: str) -> HttpResponse:
        new = NewTime.values(_posted(request))
        return _changed(request, pk, partial(services.reschedule_own, send_at=new["send_at"]), HTTPStatus.OK)


def body_of(request: Request) -> dict[str, Any]:
    if request.stream is None:
        raise Problem("malformed_json", "The body is empty; send one JSON object.")
    return cast(dict[str, Any], request.data)  # StrictJSONParser gives nothing else


def _posted(request: Request) -> dict[str, Any]:
    """The body; a change that needs to be told nothing may come without."""
    return {} if request.stream is None else body_of(request)


def _changed(request: Request, pk: str, change: Callable[..., services.Accepted], status: HTTPStatus) -> HttpResponse:
    """Change one of the client's own, once for the key, where it sends one."""

    def tell(row: Notification) -> services.Answer:
        return services.Answer(status, "", JSONRenderer().render(NotificationRow(row).data))

    try:
        changed = change(client_of(request), _id(pk), use=_use(request), tell=tell, test=is_test(request))
    except Notification.DoesNotExist:
        raise Http404 from None
    return _accepted(changed, request)


def _use(request: Request) -> services.Use:
    return services.Use(
        client_of(request).pk,
        operation=modes.operation(f"POST {request.path.rstrip('/')}", test=is_test(request)),
        key=idempotency_key(request, required=False),
        fingerprint=fingerprint(_posted(request)),
    )


def _tell_resent(ids: Collection[UUID], following: UUID | None) -> services.Answer:
    told = {"resent": [str(id_) for id_ in ids], "next_cursor": following and str(following)}
    return services.Answer(HTTPStatus.ACCEPTED, "", JSONRenderer().render(told))


def _id(pk: str) -> UUID:
    try:
        return UUID(pk)
    except ValueError:
        raise Http404 from None


def client_of(request: Request) -> Client:
    return cast(Client, request.user)  # HasScope lets nobody else pass


def is_test(request: Request) -> bool:
    return cast(Key, request.auth).is_test


def _accepted(accepted: services.Accepted, request: Request) -> HttpResponse:
    headers = {"Location": accepted.location} if accepted.location else {}
    if key := request.META.get(KEY_HEADER):
        headers["Idempotency-Key"] = key
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    # The stored bytes, not a rendering of them: a replay is equal to the last byte.
    return HttpResponse(accepted.body, status=accepted.status, content_type="application/json", headers=headers)
