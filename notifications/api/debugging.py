"""Where DEBUG is on, Django tells what fails outside of a view in pages with our source and settings in them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from notifications.api import problems
from notifications.api.problems import CONTENT_TYPE, Problem

_CODES = {400: "bad_request", 403: "forbidden", 404: "not_found"}


class ProblemsOnly:
    """For calls of the API such a page becomes the problem that it would be without DEBUG; the log has the rest."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        failed = request.path.startswith("/api/") and response.status_code >= 400
        if not failed or response.headers.get("Content-Type") == CONTENT_TYPE:
            return response
        code = _CODES.get(response.status_code, "internal_error")
        return problems.answer(Problem(code, "See the service's log."), request)
