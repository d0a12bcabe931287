"""Every request gets a correlation id, and a log line when it is answered."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

import structlog
import uuid_utils
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import resolve

CORRELATION_HEADER = "X-Correlation-ID"

# It is written to logs, stored, and sent on in provider headers: nothing that could end a header or a line.
_SAFE = re.compile(r"[A-Za-z0-9._~:/+=-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
# Version 00 ends after the flags, later ones may go on.
_TRACEPARENT = re.compile(
    r"(?:00-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"|(?!00|ff)[0-9a-f]{2}-(?P<later>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)"
)
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds, and of no interest
_WATCHED = "/first-run/"  # asked several times a second, while somebody watches one go

log = structlog.get_logger("notifier.request")


def correlation_id(request: HttpRequest) -> str:
    """The caller's X-Correlation-ID if it is safe, else the trace id of its `traceparent`, else a new one."""
    given: str = request.META.get("HTTP_X_CORRELATION_ID", "")  # `headers` would read them all
    if _SAFE.fullmatch(given):
        return given
    if match := _TRACEPARENT.fullmatch(request.META.get("HTTP_TRACEPARENT", "")):
        return match["trace"] or match["later"]
    return str(uuid_utils.uuid7())


class Probes:
    """Answers health probes under whatever Host they come: orchestrators ask a container by its address.

    Stands before the middleware that checks the host. Nothing that these addresses tell depends on it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in _PROBES:
            return self.get_response(request)
        view, arguments, options = resolve(request.path_info)
        answer: HttpResponseBase = view(request, *arguments, **options)
        return answer


class RequestLog:
    """The outermost middleware: binds `correlation_id` to the request and to all its logs, and echoes it.

    One line for each, when it is answered (at debug one when it comes, too), names method, path, status, duration and
    size, and the client once it is known; never a body, a header or the query, which may hold people's addresses.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        dull = request.path in _PROBES or request.path.startswith((settings.STATIC_URL, _WATCHED))
        level = logging.DEBUG if dull else logging.INFO
        identity = correlation_id(request)
        request.correlation_id = identity  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()  # a thread's last request may have left some
        structlog.contextvars.bind_contextvars(correlation_id=identity)
        try:
            log.debug("request", method=request.method, path=request.path)
            response = self.get_response(request)
            response.headers[CORRELATION_HEADER] = identity
            log.log(
                level,
                "answer",
                method=request.method,
                path=request.path,
                status=response.status_code,
                duration_ms=round((time.perf_counter() - began) * 1000, 1),
                bytes=len(response.content) if isinstance(response, HttpResponse) else None,
            )
            return response
        finally:
            structlog.contextvars.clear_contextvars()
