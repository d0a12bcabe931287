"""Chunked bodies, which Django cannot read by itself: it reads CONTENT_LENGTH bytes, and they carry none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ChunkedBodies:
    """Reads a body that came without a length, up to the limit, and gives it one.

    A body past the limit is cut one byte behind it, so that its length says "too large" as any other's would.
    """

    def __init__(self, application: Application, *, limit: int) -> None:
        self._application = application
        self._limit = limit  # bytes

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # `input_terminated` is the server's word that reading ends with the body and not with the connection.
        if not environ.get("CONTENT_LENGTH") and environ.get("wsgi.input_terminated"):
            body = self._read(environ["wsgi.input"])
            environ["wsgi.input"] = BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
        return self._application(environ, start_response)

    def _read(self, stream: Any) -> bytes:
        body = b""
        while len(body) <= self._limit and (part := stream.read(self._limit + 1 - len(body))):
            body += part
        return body
