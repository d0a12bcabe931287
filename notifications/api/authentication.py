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
from notifications.selectors import Key

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
        self._known: dict[bytes, tuple[Key, float]] = {}

    def key(self, digest: bytes) -> Key | None:
        known = self._known.get(digest)
        asked = monotonic()
        if known is not None and asked < known[1]:
            return known[0]
        found = selectors.key(digest)
        if found is None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        life = TRUSTED_FOR if found.expires_in is None else min(TRUSTED_FOR, found.expires_in)
        self._known[digest] = found, asked + life
        return found


_known = _KnownKeys()


class ApiKeyAuthentication(BaseAuthentication):
    """Finds the client by the key's digest.

    A header that is missing or malformed and a key that is unknown, revoked or expired all get the same
    401, so that an answer teaches nothing about which keys exist. The holder of a good key is told that it is
    switched off (403).
    """

    def authenticate(self, request: Request) -> tuple[Client, Key]:
        match = _HEADER.fullmatch(request.META.get("HTTP_AUTHORIZATION", "").strip())
        key = _known.key(credentials.digest(match[1])) if match else None
        if key is None:
            raise NotAuthenticated
        client = key.client
        structlog.contextvars.bind_contextvars(client=client.name)
        if not client.is_active:
            raise Problem("client_inactive", "This client has been switched off by an operator.")
        return client, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasScope(BasePermission):
    """Only clients, and only with a key for what they ask: `view.scopes` names the scope of each of its actions.

    A view that leaves the authentication or the scopes out stays closed. `view.live`: a test key must not learn, nor
    decide, anything there.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, Key):
            return False
        action = getattr(view, "action", None)
        if action in {None, "metadata"}:
            return True  # a method that the address does not take, or OPTIONS: which ones it takes is said next
        needed = getattr(view, "scopes", {}).get(action)
        if needed is None:
            return False
        if needed not in request.auth.scopes:
            raise Problem("scope_missing", f"This API key lacks the scope {needed}.")
        if request.auth.is_test and getattr(view, "live", False):
            raise Problem("forbidden", "This is for live keys; a test key neither sees nor changes it.")
        return True
