"""A span for each request to the API, in the client's own trace where it names one; stands there only with traces."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from notifications import tracing

API: Final = "/api/v1/"
_PARAMETER: Final = re.compile(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>")


class RequestSpans:
    """Stands below RequestLog, whose line is written when the trace id is bound."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        tracing.start("web")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        traces = tracing.live()
        if traces is None or not request.path_info.startswith(API):
            return self.get_response(request)
        method = request.method or ""
        given = traces.read(request.META.get("HTTP_TRACEPARENT", ""))
        with traces.begin(method, "server", within=given, attributes={"http.request.method": method}) as span:
            structlog.contextvars.bind_contextvars(trace_id=span.trace_id)
            response = self.get_response(request)
            span.note({"http.response.status_code": response.status_code})
            if route := _route(request):
                span.rename(f"{method} {route}")
                span.note({"http.route": route})
            if response.status_code >= 500:
                span.fail(str(response.status_code))
        return response


def _route(request: HttpRequest) -> str:
    """The address without what stands for a parameter: few, and nobody's."""
    if request.resolver_match is None:
        return ""
    route = _PARAMETER.sub(lambda found: f"{{{found[1] or found[2]}}}", request.resolver_match.route)
    return "/" + re.sub(r"[\^$?]|/$|\\Z", "", route).strip("/")
