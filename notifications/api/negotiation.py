"""Which renderer answers."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

JSON = "application/json"
TAKES_JSON = frozenset({JSON, "*/*"})


class Negotiation(DefaultContentNegotiation):
    """The framework's own, which parses header and query; what nearly every call sends needs none of that."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if not request.META.get("QUERY_STRING") and request.META.get("HTTP_ACCEPT", "*/*") in TAKES_JSON:
            first = next(iter(renderers))
            if first.media_type == JSON:
                return first, JSON
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen
