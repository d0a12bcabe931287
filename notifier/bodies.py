"""Chunked bodies, which Django cannot read by itself: it reads CONTENT_LENGTH bytes, and they carry none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ChunkedBodies:
    """Reads a body that came without a length, up to the limit, and gives it one.

    A body past the limit is cut one byte behind it, so that its length says "too large" as any other's would.
    """

    def __init__(self, application: Application, *, limit: int, limits: Mapping[str, int] | None = None) -> None:
        self._application = application
        self._limit = limit  # bytes
        self._limits = limits or {}  # of paths that have one of their own

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # `input_terminated` is the server's word that reading ends with the body and not with the connection.
        if not environ.get("CONTENT_LENGTH") and environ.get("wsgi.input_terminated"):
            limit = self._limits.get(environ.get("PATH_INFO", "").rstrip("/"), self._limit)
            body = _read(environ["wsgi.input"], limit)
            environ["wsgi.input"] = BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
        return self._application(environ, start_response)


def _read(stream: Any, limit: int) -> bytes:
    body = b""
    while len(body) <= limit and (part := stream.read(limit + 1 - len(body))):
        body += part
    return body
