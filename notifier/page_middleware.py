"""What pages need and calls of the API do not: a session, its user, messages. A call brings its own key."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.http.response import HttpResponseBase

CALLS: Final = "/api/v1/"


class _PagesOnly:
    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info.startswith(CALLS):
            answer: HttpResponseBase = self.get_response(request)
            return answer
        passed: HttpResponseBase = super().__call__(request)  # type: ignore[misc]  # of the middleware beside it
        return passed


class SessionMiddleware(_PagesOnly, sessions.SessionMiddleware):
    pass


class AuthenticationMiddleware(_PagesOnly, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(_PagesOnly, messages.MessageMiddleware):
    pass
