"""Who is asking: `Authorization: Bearer <api key>`."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from notifications import credentials, selectors
from notifications.api.problems import Problem
from notifications.models import Client

if TYPE_CHECKING:
    from rest_framework.views import APIView  # imports this module by way of the settings

TRUSTED_FOR: Final = 1.0  # seconds: a key that is revoked is refused that much later at most
MOST_KNOWN: Final = 10_000  # keys remembered by one process

_HEADER = re.compile(r"bearer +([!-~]{1,256})", re.IGNORECASE)


class _KnownKeys:
    """Good keys and their clients, each asked of the database once a second at most; what is refused is always asked.

    Shared by threads without a lock: two that ask at once learn the same.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Client, float]] = {}

    def client(self, digest: bytes) -> Client | None:
        known = self._known.get(digest)
        asked = monotonic()
        if known is not None and asked < known[1]:
            return known[0]
        found = selectors.client_of_key(digest)
        if found is None:
            self._known.pop(digest, None)
            return None
        client, expires_in = found
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[digest] = client, asked + min(TRUSTED_FOR, TRUSTED_FOR if expires_in is None else expires_in)
        return client


_known = _KnownKeys()


class ApiKeyAuthentication(BaseAuthentication):
    """Finds the client by the key's digest.

    A header that is missing or malformed and a key that is unknown, revoked or expired all get the same
    401, so that an answer teaches nothing about which keys exist. The holder of a good key is told that it is
    switched off (403).
    """

    def authenticate(self, request: Request) -> tuple[Client, None]:
        match = _HEADER.fullmatch(request.META.get("HTTP_AUTHORIZATION", "").strip())
        client = _known.client(credentials.digest(match[1])) if match else None
        if client is None:
            raise NotAuthenticated
        structlog.contextvars.bind_contextvars(client=client.name)
        if not client.is_active:
            raise Problem("client_inactive", "This client has been switched off by an operator.")
        return client, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class IsClient(BasePermission):
    """Only clients: a view that leaves the authentication out stays closed."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Client)
