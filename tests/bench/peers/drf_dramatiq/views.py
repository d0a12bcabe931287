from __future__ import annotations

import hashlib
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.generics import CreateAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, ModelSerializer

from tests.bench.peers.drf_dramatiq.actors import deliver
from tests.bench.peers.drf_dramatiq.models import ApiKey, IdempotencyKey, Notification


class NotificationSerializer(ModelSerializer[Notification]):
    class Meta:
        model = Notification
        fields = ("id", "channel", "to", "message", "status", "created_at")
        read_only_fields = ("status",)


class Accept(CreateAPIView[Notification]):
    """No authentication, no key: the row and, once it is committed, the message."""

    queryset = Notification.objects.all()
    serializer_class = NotificationSerializer

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        answer = super().create(request, *args, **kwargs)
        answer.status_code = 202
        return answer

    def perform_create(self, serializer: BaseSerializer[Notification]) -> None:
        notification = serializer.save()
        transaction.on_commit(lambda: deliver.send(notification.pk))


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`, looked up by the key's hash."""

    def authenticate(self, request: Request) -> tuple[ApiKey, ApiKey] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = hashlib.sha256(key.strip().encode()).hexdigest()
        try:
            client = ApiKey.objects.get(digest=digest, active=True)
        except ApiKey.DoesNotExist:
            raise AuthenticationFailed("This API key is not known.") from None
        return client, client

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class KeyedAccept(Accept):
    """The same with a client and an idempotency key, whose row is in the notification's transaction."""

    authentication_classes = (KeyAuthentication,)
    permission_classes = (IsAuthenticated,)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if not key:
            raise ValidationError("Idempotency-Key is missing.")
        client: Any = request.auth  # an ApiKey; the stubs know only the framework's own tokens
        fingerprint = hashlib.sha256(request.body).hexdigest()
        try:
            with transaction.atomic():
                use = IdempotencyKey.objects.create(client=client, key=key, fingerprint=fingerprint)
                answer = super().create(request, *args, **kwargs)
                use.status, use.answer = answer.status_code, answer.data
                use.save(update_fields=["status", "answer"])
        except IntegrityError:
            use = IdempotencyKey.objects.get(client=client, key=key)
            if use.fingerprint != fingerprint:
                return Response({"detail": "This key was used for another request."}, status=422)
            return Response(use.answer, status=use.status)
        return answer

    def perform_create(self, serializer: BaseSerializer[Notification]) -> None:
        notification = serializer.save(client=self.request.auth)
        transaction.on_commit(lambda: deliver.send(notification.pk))
