"""Who is asking: `Authorization: Bearer <api key>`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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

_HEADER = re.compile(r"bearer +([!-~]{1,256})", re.IGNORECASE)


class ApiKeyAuthentication(BaseAuthentication):
    """Finds the client by the key's digest.

    A header that is missing or malformed and a key that is unknown, revoked or expired all get the same
    401, so that an answer teaches nothing about which keys exist. The holder of a good key is told that it is
    switched off (403).
    """

    def authenticate(self, request: Request) -> tuple[Client, None]:
        match = _HEADER.fullmatch(request.headers.get("Authorization", "").strip())
        client = selectors.client_of_key(credentials.digest(match[1])) if match else None
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
