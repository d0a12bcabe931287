from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from notifier.page_middleware import AuthenticationMiddleware, MessageMiddleware, SessionMiddleware


def passed(path: str) -> HttpRequest:
    """A request as the view behind all three sees it."""
    seen: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse()

    request = RequestFactory().get(path)
    SessionMiddleware(AuthenticationMiddleware(MessageMiddleware(view)))(request)
    return seen[0]


@pytest.mark.parametrize("path", ["/api/v1/slack", "/api/v1/notifications/batch"])
def test_a_call_of_the_api_has_no_session_no_user_and_no_messages(path: str) -> None:
    assert not {"session", "user", "_messages"} & vars(passed(path)).keys()


@pytest.mark.parametrize("path", ["/admin/", "/", "/api/docs"])
def test_a_page_has_all_three(path: str) -> None:
    assert {"session", "user", "_messages"} <= vars(passed(path)).keys()
