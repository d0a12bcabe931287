"""The API's own pages for people: what the problems mean, and the Swagger UI."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.api.kinds import KINDS

_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
_PLAIN = _CLOSED + "style-src 'unsafe-inline'"
# Swagger UI sets styles inline and draws with data: images; its scripts are files of ours.
_SWAGGER = _CLOSED + (
    "script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'"
)


@require_safe
def problems(request: HttpRequest) -> HttpResponse:
    """What each `type` of a problem points to."""
    response = render(request, "notifications/problems.html", {"kinds": KINDS})
    response.headers["Content-Security-Policy"] = _PLAIN
    return response


class SwaggerView(SpectacularSwaggerSplitView):
    """Swagger UI from local assets; its start-up script is a file of its own, so nothing inline runs."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response.headers["Content-Security-Policy"] = _SWAGGER
        return response
